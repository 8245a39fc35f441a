#include <algorithm>

#include <fmt/format.h>

#include "cuda/check.h"
#include "cuda/cuda_backend.h"
#include "cuda/ops.h"
#include "cuda/resources.h"

namespace haikuda {
namespace {

using namespace cuda;

constexpr std::size_t kMostBytes = std::size_t{4} << 30;
constexpr std::size_t kLeastBytes = std::size_t{16} << 20;
constexpr int kPasses = 20;
constexpr int kBlocksAnSm = 2;

struct TimedEvent : Owner<cudaEvent_t, cudaEventDestroy> {
  static TimedEvent create() {
    cudaEvent_t event = nullptr;
    CUDA_CHECK(cudaEventCreate(&event));
    return TimedEvent{Owner(event)};
  }
};

std::size_t buffer_bytes() {
  std::size_t free_bytes = 0, total_bytes = 0;
  CUDA_CHECK(cudaMemGetInfo(&free_bytes, &total_bytes));
  const std::size_t bytes = std::min(kMostBytes, free_bytes / 2) & ~std::size_t{255};
  if (bytes < kLeastBytes)
    throw Error(ExitCode::out_of_memory,
                fmt::format("measuring the read bandwidth needs {} MiB of free GPU memory, {} are "
                            "free; try a smaller model or a smaller depth",
                            2 * kLeastBytes >> 20, free_bytes >> 20));
  return bytes;
}

}  // namespace

double measure_cuda_read_bandwidth(int device_index) {
  CUDA_CHECK(cudaSetDevice(device_index));
  int n_sms = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&n_sms, cudaDevAttrMultiProcessorCount, device_index));
  const int n_blocks = kBlocksAnSm * n_sms;
  const Stream stream = Stream::create();
  const DeviceBuffer<std::byte> buffer(buffer_bytes());
  const DeviceBuffer<std::uint32_t> out(static_cast<std::size_t>(n_blocks));
  const TimedEvent begin = TimedEvent::create(), end = TimedEvent::create();
  CUDA_CHECK(cudaMemsetAsync(buffer.data(), 1, buffer.bytes(), stream.get()));
  double best_s = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    CUDA_CHECK(cudaEventRecord(begin.get(), stream.get()));
    xor_words(out.data(), buffer.data(), buffer.bytes(), n_blocks, stream.get());
    CUDA_CHECK(cudaEventRecord(end.get(), stream.get()));
    stream.synchronize();
    float ms = 0;
    CUDA_CHECK(cudaEventElapsedTime(&ms, begin.get(), end.get()));
    const double pass_s = static_cast<double>(ms) / 1e3;
    best_s = pass == 0 ? pass_s : std::min(best_s, pass_s);
  }
  return static_cast<double>(buffer.bytes()) / best_s;
}

}  // namespace haikuda
