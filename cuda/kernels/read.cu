// Reads memory and does nothing else: the yardstick of every kernel that streams weights.
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 1024;
constexpr int kWarpSize = 32;
static_assert(kThreads == kWarpSize * kWarpSize);  // one warp takes a value of each warp
constexpr int kLoads = 4;                          // 16-byte loads that a thread has in flight

__device__ inline std::uint32_t folded(uint4 v) {
  return v.x ^ v.y ^ v.z ^ v.w;
}

__device__ inline std::uint32_t xor_of_warp(std::uint32_t value) {
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    value ^= __shfl_xor_sync(0xffffffffu, value, offset);
  return value;
}

// Each block leaves the exclusive or of the words it read. Bound by memory: 16 bytes an element.
__global__ __launch_bounds__(kThreads) void xor_words_kernel(std::uint32_t* __restrict__ out,
                                                             const uint4* __restrict__ words,
                                                             std::int64_t n) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  std::uint32_t all = 0;
  for (; i + (kLoads - 1) * step < n; i += kLoads * step) {
    uint4 v[kLoads];
#pragma unroll
    for (int j = 0; j < kLoads; ++j) v[j] = words[i + j * step];
#pragma unroll
    for (int j = 0; j < kLoads; ++j) all ^= folded(v[j]);
  }
  for (; i < n; i += step) all ^= folded(words[i]);
  __shared__ std::uint32_t of_warp[kWarpSize];
  all = xor_of_warp(all);
  if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = all;
  __syncthreads();
  if (threadIdx.x >= kWarpSize) return;
  all = xor_of_warp(of_warp[threadIdx.x]);
  if (threadIdx.x == 0) out[blockIdx.x] = all;
}

}  // namespace

void xor_words(
    std::uint32_t* out, const void* data, std::size_t bytes, int n_blocks, cudaStream_t stream) {
  HAIKUDA_CHECK(bytes % sizeof(uint4) == 0);
  launch(xor_words_kernel, grid_of(n_blocks), kThreads, stream, out,
         static_cast<const uint4*>(data), static_cast<std::int64_t>(bytes / sizeof(uint4)));
}

}  // namespace haikuda::cuda
