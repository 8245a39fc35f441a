#include "cuda/device_weights.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "cuda/layout.h"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kStagingBytes = std::size_t{16} << 20;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Adds up what the tensors take.
class Counter {
 public:
  const std::byte* matrix(const TensorView& view) {
    return add(matrix_bytes(view.dtype, view.rows, view.cols));
  }
  const float* vector(const TensorView& view) {
    add(static_cast<std::size_t>(view.size()) * sizeof(float));
    return nullptr;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  const std::byte* add(std::size_t bytes) {
    bytes_ += aligned(bytes);
    return nullptr;
  }
  std::size_t bytes_ = 0;
};

// Copies the tensors to the device one after the other, through two pinned buffers: while one is on
// its way, the other is filled from the mapped file. What is repacked makes a halt on the device.
class Uploader {
 public:
  Uploader(const DeviceBuffer<std::byte>& storage, const Stream& stream)
      : storage_(storage), stream_(stream) {}

  const std::byte* matrix(const TensorView& view) {
    return is_repacked(view.dtype) ? upload_repacked(view) : upload({view.data, view.bytes()});
  }
  const float* vector(const TensorView& view) {
    const std::vector<float> values = to_float(view);
    return reinterpret_cast<const float*>(upload(std::as_bytes(std::span(values))));
  }

 private:
  const std::byte* upload(std::span<const std::byte> bytes) {
    const std::size_t start = used_;
    for (std::size_t done = 0; done < bytes.size(); done += kStagingBytes)
      upload_part(bytes.subspan(done, std::min(kStagingBytes, bytes.size() - done)), storage_,
                  start + done);
    used_ += aligned(bytes.size());
    return storage_.data() + start;
  }
  // By way of blocks_, as many blocks at a time as it holds.
  const std::byte* upload_repacked(const TensorView& view) {
    if (blocks_.size() == 0) blocks_ = DeviceBuffer<std::byte>(kStagingBytes);
    const std::byte* placed = storage_.data() + used_;
    const DeviceTensor tensor{view.dtype, static_cast<int>(view.rows), static_cast<int>(view.cols),
                              placed};
    const auto block_bytes = static_cast<std::size_t>(dtype_info(view.dtype).block_bytes);
    const std::size_t n_blocks = view.bytes() / block_bytes, at_once = kStagingBytes / block_bytes;
    for (std::size_t first = 0; first < n_blocks; first += at_once) {
      const std::size_t n = std::min(at_once, n_blocks - first);
      upload_part({view.data + first * block_bytes, n * block_bytes}, blocks_, 0);
      repack(tensor, blocks_.data(), static_cast<std::int64_t>(first), static_cast<std::int64_t>(n),
             stream_.get());
    }
    used_ += aligned(matrix_bytes(view.dtype, view.rows, view.cols));
    return placed;
  }
  void upload_part(std::span<const std::byte> part,
                   const DeviceBuffer<std::byte>& to,
                   std::size_t offset) {
    Staging& staging = staging_[next_];
    next_ = 1 - next_;
    staging.copied.synchronize();
    std::memcpy(staging.buffer.data(), part.data(), part.size());
    to.upload({staging.buffer.data(), part.size()}, stream_.get(), offset);
    staging.copied.record(stream_.get());
  }

  struct Staging {
    PinnedBuffer<std::byte> buffer{kStagingBytes};
    Event copied = Event::create();
  };
  const DeviceBuffer<std::byte>& storage_;
  DeviceBuffer<std::byte> blocks_;  // of the file, on their way to their planes
  const Stream& stream_;
  std::array<Staging, 2> staging_;
  std::size_t next_ = 0, used_ = 0;
};

template <class Placer>
DeviceTensor place_matrix(Placer& placer, const TensorView& view) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  HAIKUDA_CHECK(view.rows <= kMost && view.cols <= kMost);
  return {view.dtype, static_cast<int>(view.rows), static_cast<int>(view.cols),
          placer.matrix(view)};
}
template <class Placer>
const float* place_vector(Placer& placer, const TensorView& view) {
  return view ? placer.vector(view) : nullptr;
}

template <class Placer>
DeviceLayerWeights place_layer(Placer& placer, const LayerWeights& w) {
  return {
      .attn_norm = place_vector(placer, w.attn_norm),
      .attn_q = place_matrix(placer, w.attn_q),
      .attn_k = place_matrix(placer, w.attn_k),
      .attn_v = place_matrix(placer, w.attn_v),
      .attn_q_bias = place_vector(placer, w.attn_q_bias),
      .attn_k_bias = place_vector(placer, w.attn_k_bias),
      .attn_v_bias = place_vector(placer, w.attn_v_bias),
      .attn_q_norm = place_vector(placer, w.attn_q_norm),
      .attn_k_norm = place_vector(placer, w.attn_k_norm),
      .attn_output = place_matrix(placer, w.attn_output),
      .ffn_norm = place_vector(placer, w.ffn_norm),
      .ffn_gate = place_matrix(placer, w.ffn_gate),
      .ffn_up = place_matrix(placer, w.ffn_up),
      .ffn_down = place_matrix(placer, w.ffn_down),
  };
}

}  // namespace

// The one list of tensors, for counting and for copying.
template <class Placer>
void DeviceWeights::place(const Weights& weights, Placer& placer) {
  layers.clear();
  token_embd = place_matrix(placer, weights.token_embd);
  output = weights.tied ? token_embd : place_matrix(placer, weights.output);
  output_norm = place_vector(placer, weights.output_norm);
  for (const LayerWeights& w : weights.layers) layers.push_back(place_layer(placer, w));
}

std::size_t DeviceWeights::bytes_needed(const Weights& weights) {
  Counter counter;
  DeviceWeights().place(weights, counter);
  return counter.bytes();
}

DeviceWeights::DeviceWeights(const Weights& weights, const Stream& stream)
    : storage_(bytes_needed(weights)) {
  Uploader uploader(storage_, stream);
  place(weights, uploader);
  stream.synchronize();
}

}  // namespace haikuda::cuda
