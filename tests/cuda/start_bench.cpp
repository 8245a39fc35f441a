// Not a test: what each step of a start costs on this machine, one after the other on one thread,
// and how fast a file gets to the device by each way. cuda/README.md says how to run it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "base/part_workers.h"
#include "base/timeline.h"
#include "cuda/resources.h"

namespace haikuda {
namespace {

using namespace cuda;

double ms_of(const std::function<void()>& step) {
  const auto start = Timeline::Clock::now();
  step();
  return std::chrono::duration<double, std::milli>(Timeline::Clock::now() - start).count();
}

void show(const char* name, const std::function<void()>& step) {
  const double first = ms_of(step), second = ms_of(step);
  std::printf("%-44s %9.3f ms, again %9.3f ms\n", name, first, second);
}

void show_steps() {
  int n = 0;
  cudaDeviceProp properties{};
  std::size_t free_bytes = 0, total_bytes = 0;
  show("cudaGetDeviceCount", [&] { CUDA_CHECK(cudaGetDeviceCount(&n)); });
  show("cudaSetDevice(0)", [] { CUDA_CHECK(cudaSetDevice(0)); });
  show("cudaMemGetInfo", [&] { CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes)); });
  show("cudaGetDeviceProperties", [&] { CUDA_CHECK(cudaGetDeviceProperties(&properties, 0)); });
  show("stream", [] { (void)Stream::create(); });
  show("event", [] { (void)Event::create(); });
  for (const std::size_t mb : {1, 16, 64})
    show((std::to_string(mb) + " MB page-locked, and freed").c_str(),
         [&] { (void)PinnedBuffer<std::byte>(mb << 20); });
  for (const std::size_t mb : {1, 400, 1000})
    show((std::to_string(mb) + " MB of device memory, and freed").c_str(),
         [&] { (void)DeviceBuffer<std::byte>(mb << 20); });
}

enum class Way { read, map, populate };
constexpr const char* kWays[] = {"pread", "map", "populated map"};

// What one reader does with a part: into its buffer, and to the device where `to` is not null.
struct Reader {
  explicit Reader(std::size_t part_bytes) : buffers{Buffer(part_bytes), Buffer(part_bytes)} {}

  void take(const MappedFile& file, Way way, std::size_t offset, std::size_t n, std::byte* to) {
    Buffer& buffer = buffers[next];
    next = 1 - next;
    buffer.fetched.synchronize();
    const std::byte* from = file.bytes().data() + offset;
    if (way == Way::read) {
      file.read({buffer.bytes.data(), n}, offset);
    } else {
      const std::size_t page = offset & ~std::size_t{4095};
      if (way == Way::populate)
        ::madvise(const_cast<std::byte*>(file.bytes().data()) + page, n, MADV_POPULATE_READ);
      std::memcpy(buffer.bytes.data(), from, n);
    }
    if (to == nullptr) return;
    CUDA_CHECK(
        cudaMemcpyAsync(to + offset, buffer.bytes.data(), n, cudaMemcpyHostToDevice, stream.get()));
    buffer.fetched.record(stream.get());
  }

  struct Buffer {
    explicit Buffer(std::size_t size) : bytes(size) {}
    PinnedBuffer<std::byte> bytes;
    Event fetched = Event::create();
  };
  Stream stream = Stream::create();
  Buffer buffers[2];
  std::size_t next = 0;
};

void show_way(const std::string& path, Way way, int n_readers, std::size_t part, std::byte* to) {
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < n_readers; ++i) readers.push_back(std::make_unique<Reader>(part));
  double best = 1e30;
  std::size_t size = 0;
  for (int run = 0; run < 3; ++run) {
    const MappedFile file(path);  // a fresh map, as a process has it
    size = file.bytes().size();
    best = std::min(
        best, ms_of([&] {
          PartWorkers workers((size + part - 1) / part, n_readers, [&](PartQueue& parts, int i) {
            CUDA_CHECK(cudaSetDevice(0));
            Reader& reader = *readers[static_cast<std::size_t>(i)];
            while (const auto at = parts.next())
              reader.take(file, way, *at * part, std::min(part, size - *at * part), to);
            reader.stream.synchronize();
          });
          workers.wait();
        }));
  }
  std::printf("%-14s %2d readers, parts of %4zu KB, %-13s %7.1f ms %6.1f GB/s\n",
              kWays[static_cast<int>(way)], n_readers, part >> 10,
              to == nullptr ? "host only" : "to the device", best,
              static_cast<double>(size) / best / 1e6);
}

void show_ways(const std::string& path) {
  const DeviceBuffer<std::byte> device(MappedFile(path).bytes().size());
  for (std::byte* to : {static_cast<std::byte*>(nullptr), device.data()})
    for (const Way way : {Way::read, Way::map, Way::populate})
      for (const int n_readers : {1, 4, 8, 16}) show_way(path, way, n_readers, 1 << 20, to);
  for (const std::size_t part : {256u << 10, 512u << 10, 2u << 20, 4u << 20})
    for (const int n_readers : {4, 8, 12})
      show_way(path, Way::read, n_readers, part, device.data());
}

}  // namespace
}  // namespace haikuda

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: haikuda_start_bench FILE\n");
    return 2;
  }
  try {
    haikuda::show_steps();
    haikuda::show_ways(argv[1]);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
