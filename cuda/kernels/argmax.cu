// The greatest logit. Bound by latency: two launches over 4 bytes a word of the vocabulary. Which
// block or thread sees a value first has no influence on the result.
#include <climits>

#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;

// Before any value: loses even against -infinity, which has a lower index.
__device__ ArgmaxResult nothing() {
  return {-INFINITY, INT_MAX, 0};
}

__device__ ArgmaxResult merged(const ArgmaxResult& a, const ArgmaxResult& b) {
  const bool b_wins = b.value > a.value || (b.value == a.value && b.index < a.index);
  return {b_wins ? b.value : a.value, b_wins ? b.index : a.index, a.n_not_finite + b.n_not_finite};
}

// All kBlock threads of the block take part; thread 0 gets the result.
template <int kBlock>
__device__ ArgmaxResult block_argmax(const ArgmaxResult& mine) {
  __shared__ ArgmaxResult of_thread[kBlock];
  of_thread[threadIdx.x] = mine;
  __syncthreads();
  for (int distance = kBlock / 2; distance > 0; distance /= 2) {
    if (threadIdx.x < distance)
      of_thread[threadIdx.x] = merged(of_thread[threadIdx.x], of_thread[threadIdx.x + distance]);
    __syncthreads();
  }
  return of_thread[0];
}

__global__ __launch_bounds__(kThreads) void argmax_partial_kernel(
    ArgmaxResult* __restrict__ partial, const float* __restrict__ values, int n) {
  ArgmaxResult best = nothing();
  for (std::int64_t i = blockIdx.x * kThreads + threadIdx.x; i < n; i += kArgmaxBlocks * kThreads) {
    const float value = values[i];
    if (isnan(value))
      ++best.n_not_finite;
    else
      best = merged(best, {value, static_cast<int>(i), isinf(value) ? 1 : 0});
  }
  best = block_argmax<kThreads>(best);
  if (threadIdx.x == 0) partial[blockIdx.x] = best;
}

__global__ __launch_bounds__(kArgmaxBlocks) void argmax_final_kernel(
    ArgmaxResult* __restrict__ out, const ArgmaxResult* __restrict__ partial) {
  ArgmaxResult best = block_argmax<kArgmaxBlocks>(partial[threadIdx.x]);
  if (threadIdx.x != 0) return;
  if (best.index == INT_MAX) best.index = 0;
  *out = best;
}

}  // namespace

void argmax(
    ArgmaxResult* out, ArgmaxResult* partial, const float* values, int n, cudaStream_t stream) {
  launch(argmax_partial_kernel, grid_of(kArgmaxBlocks), kThreads, stream, partial, values, n);
  launch(argmax_final_kernel, grid_of(1), kArgmaxBlocks, stream, out, partial);
}

}  // namespace haikuda::cuda
