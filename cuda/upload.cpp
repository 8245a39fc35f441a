#include "cuda/upload.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/thread_pool.h"
#include "cuda/layout.h"
#include "cuda/ops.h"
#include "model/weights.h"

namespace haikuda::cuda {
namespace {

constexpr int kMostReaders = 8;
// Page-locking costs 0.1 to 0.25 ms a MB, so a reader's buffers are as small as still leaves a copy
// (20 us on PCIe 5) longer than what it takes to launch it. They also stay in the core's cache.
constexpr std::size_t kPartBytes = std::size_t{1} << 20;
constexpr int kBuffers = 2;  // of a reader: one is filled while the other is fetched
static_assert(kMostReaders * kBuffers * kPartBytes <= Upload::kMostBytes);

std::size_t block_bytes(const UploadTensor& tensor) {
  return static_cast<std::size_t>(dtype_info(tensor.from.dtype).block_bytes);
}

// Bytes of the file that fill a buffer: whole blocks, and no more floats than it holds.
std::size_t part_bytes(const UploadTensor& tensor) {
  const std::size_t unit = block_bytes(tensor);
  const std::size_t n =
      tensor.form == UploadForm::floats ? kPartBytes / sizeof(float) : kPartBytes / unit;
  return n * unit;
}

}  // namespace

// One thread's buffers and stream.
class Upload::Reader {
 public:
  explicit Reader(const ModelFiles& files) : files_(files) {}
  ~Reader() { ignore_cuda(cudaStreamSynchronize(stream_.get())); }  // it reads the buffers

  void send(const Part& part) {
    Buffer& buffer = buffers_[next_];
    next_ = (next_ + 1) % buffers_.size();
    buffer.fetched.synchronize();
    switch (part.tensor->form) {
      case UploadForm::as_in_file:
        fill(buffer, part);
        copy(part.tensor->to + part.first, buffer, part.n);
        break;
      case UploadForm::planes:
        send_blocks(buffer, part);
        break;
      case UploadForm::floats:
        send_floats(buffer, part);
        break;
    }
    buffer.fetched.record(stream_.get());
  }
  void finish() {
    stream_.synchronize();
    end_ = Timeline::Clock::now();
  }
  // Device memory goes back.
  void drop_blocks() {
    for (Buffer& buffer : buffers_) buffer.blocks = {};
  }
  Timeline::Clock::time_point end() const { return end_; }

 private:
  struct Buffer {
    PinnedBuffer<std::byte> bytes{kPartBytes};
    DeviceBuffer<std::byte> blocks;  // of the file, on their way to their planes
    Event fetched = Event::create();
  };

  void fill(const Buffer& buffer, const Part& part) const {
    read_bytes(files_, {part.tensor->from.data + part.first, part.n}, buffer.bytes.data());
  }
  void copy(std::byte* to, const Buffer& buffer, std::size_t n) const {
    CUDA_CHECK(cudaMemcpyAsync(to, buffer.bytes.data(), n, cudaMemcpyHostToDevice, stream_.get()));
  }
  void send_blocks(Buffer& buffer, const Part& part) const {
    if (buffer.blocks.size() == 0) buffer.blocks = DeviceBuffer<std::byte>(kPartBytes);
    const auto& [from, to, form] = *part.tensor;
    fill(buffer, part);
    copy(buffer.blocks.data(), buffer, part.n);
    repack({from.dtype, static_cast<int>(from.rows), static_cast<int>(from.cols), to},
           buffer.blocks.data(), n_blocks(part, part.first), n_blocks(part, part.n), stream_.get());
  }
  void send_floats(const Buffer& buffer, const Part& part) const {
    TensorView stretch = part.tensor->from;
    stretch.rows = 1;
    stretch.cols = n_blocks(part, part.n);  // of one element
    stretch.data += part.first;
    const std::vector<float> values = to_float(stretch);
    const std::size_t n = values.size() * sizeof(float);
    std::memcpy(buffer.bytes.data(), values.data(), n);
    copy(part.tensor->to + n_blocks(part, part.first) * std::int64_t{sizeof(float)}, buffer, n);
  }
  static std::int64_t n_blocks(const Part& part, std::size_t bytes) {
    return static_cast<std::int64_t>(bytes / block_bytes(*part.tensor));
  }

  const ModelFiles& files_;
  Stream stream_ = Stream::create();
  std::array<Buffer, kBuffers> buffers_;
  std::size_t next_ = 0;
  Timeline::Clock::time_point end_{};
};

Upload::Upload(std::vector<UploadTensor> tensors, const ModelFiles& files, Timeline* timeline)
    : tensors_(std::move(tensors)), files_(files), timeline_(timeline), parts_(cut()) {
  CUDA_CHECK(cudaGetDevice(&device_));
  const int n_readers = std::min(kMostReaders, usable_processors());
  readers_.resize(static_cast<std::size_t>(n_readers));
  workers_ = std::make_unique<PartWorkers>(
      parts_.size(), n_readers,
      [this](PartQueue& parts, int reader) { read_parts(parts, reader); });
}

Upload::~Upload() = default;

std::vector<Upload::Part> Upload::cut() const {
  std::vector<Part> parts;
  for (const UploadTensor& tensor : tensors_) {
    const std::size_t all = tensor.from.bytes(), step = part_bytes(tensor);
    for (std::size_t first = 0; first < all; first += step)
      parts.push_back({&tensor, first, std::min(step, all - first)});
  }
  return parts;
}

// The buffers are kept until the end: to unlock them takes as long as to lock them.
void Upload::read_parts(PartQueue& parts, int index) {
  CUDA_CHECK(cudaSetDevice(device_));
  auto& reader = readers_[static_cast<std::size_t>(index)];
  {
    const Phase phase(index == 0 ? timeline_ : nullptr, "page-locking");
    reader = std::make_unique<Reader>(files_);
  }
  while (const auto part = parts.next()) reader->send(parts_[*part]);
  reader->finish();
}

void Upload::wait() {
  workers_->wait();
  auto end = begin_;
  for (const auto& reader : readers_)
    if (reader) {
      end = std::max(end, reader->end());
      reader->drop_blocks();
    }
  std::uint64_t bytes = 0;
  for (const Part& part : parts_) bytes += part.n;
  if (timeline_ != nullptr) timeline_->add("weights", begin_, end, bytes);
}

}  // namespace haikuda::cuda
