// RMSNorm. Bound by latency at one token, by memory at many: x read twice (once from L1/L2), out
// written once.
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;

// One block a token. out may be x: a thread writes only what it alone reads, after it read it for
// the last time.
__global__ __launch_bounds__(kThreads) void rms_norm_kernel(
    float* out, const float* x, const float* __restrict__ weight, int size, float eps) {
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * size;
  const float* row = x + offset;
  float sum = 0;
  for (int i = threadIdx.x; i < size; i += kThreads) sum += row[i] * row[i];
  sum = block_sum<kThreads>(sum);
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(size) + eps);
  for (int i = threadIdx.x; i < size; i += kThreads) out[offset + i] = row[i] * scale * weight[i];
}

}  // namespace

void rms_norm(float* out,
              const float* x,
              const float* weight,
              int n,
              int size,
              float eps,
              cudaStream_t stream) {
  launch(rms_norm_kernel, grid_of(n), kThreads, stream, out, x, weight, size, eps);
}

}  // namespace haikuda::cuda
