// Reductions over a warp and a block, in a fixed order: the same bits on every run.
#pragma once

namespace haikuda::cuda {

constexpr int kWarpSize = 32;  // a constant of ours, so that loops over lanes unroll
constexpr unsigned kAllLanes = 0xffffffffu;

// All 32 lanes take part and all get the result: both lanes of a pair add the same two numbers.
__device__ inline float warp_sum(float x) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
}
// A NaN loses against a number.
__device__ inline float warp_max(float x) {
#pragma unroll
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
}

__device__ inline int warp_sum(int x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_add_sync(kAllLanes, x);
#else
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    x += __shfl_xor_sync(kAllLanes, x, offset);
  return x;
#endif
}
__device__ inline unsigned warp_max(unsigned x) {
#if __CUDA_ARCH__ >= 800
  return __reduce_max_sync(kAllLanes, x);
#else
  for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
    x = max(x, __shfl_xor_sync(kAllLanes, x, offset));
  return x;
#endif
}

// The sum of row `row` over the n warps that shared it, in order; parts (rows, n).
__device__ inline float sum_of_parts(const float* parts, int n, int row) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += parts[row * n + i];
  return sum;
}

// All kThreads threads of the block take part, a multiple of 32, and all get the result. Ends with
// a barrier, so that it can be called again at once.
template <int kThreads>
__device__ float block_sum(float x) {
  __shared__ float of_warp[kThreads / kWarpSize];
  x = warp_sum(x);
  if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  float sum = 0;
#pragma unroll
  for (int warp = 0; warp < kThreads / kWarpSize; ++warp) sum += of_warp[warp];
  __syncthreads();
  return sum;
}
template <int kThreads>
__device__ float block_max(float x) {
  __shared__ float of_warp[kThreads / kWarpSize];
  x = warp_max(x);
  if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = x;
  __syncthreads();
  float max = of_warp[0];
#pragma unroll
  for (int warp = 1; warp < kThreads / kWarpSize; ++warp) max = fmaxf(max, of_warp[warp]);
  __syncthreads();
  return max;
}

}  // namespace haikuda::cuda
