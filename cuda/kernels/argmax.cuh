// The greatest of many values, in parts. Which block or thread sees a value first has no influence
// on the result.
#pragma once

#include <climits>

#include "cuda/device/reduce.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {

// Before any value: loses even against -infinity, which has a lower index.
__device__ inline ArgmaxResult no_value() {
  return {-INFINITY, INT_MAX, 0};
}

__device__ inline ArgmaxResult merged(const ArgmaxResult& a, const ArgmaxResult& b) {
  const bool b_wins = b.value > a.value || (b.value == a.value && b.index < a.index);
  return {b_wins ? b.value : a.value, b_wins ? b.index : a.index, a.n_not_finite + b.n_not_finite};
}

__device__ inline ArgmaxResult merged(ArgmaxResult best, float value, int index) {
  if (!isnan(value)) return merged(best, {value, index, isinf(value) ? 1 : 0});
  ++best.n_not_finite;
  return best;
}

struct SyncBlock {
  __device__ void operator()() const { __syncthreads(); }
};
// Threads 0 … n_threads - 1 of the block take part, at most 1024 and whole warps; `sync` is their
// barrier. Thread 0 gets the result.
template <class Sync = SyncBlock>
__device__ ArgmaxResult block_argmax(ArgmaxResult mine,
                                     unsigned n_threads = blockDim.x,
                                     const Sync& sync = {}) {
  __shared__ ArgmaxResult of_warp[kWarpSize];
  const auto warp_argmax = [](ArgmaxResult best) {
#pragma unroll
    for (int offset = kWarpSize / 2; offset > 0; offset /= 2)
      best = merged(best, {__shfl_xor_sync(kAllLanes, best.value, offset),
                           __shfl_xor_sync(kAllLanes, best.index, offset),
                           __shfl_xor_sync(kAllLanes, best.n_not_finite, offset)});
    return best;
  };
  mine = warp_argmax(mine);
  if (threadIdx.x % kWarpSize == 0) of_warp[threadIdx.x / kWarpSize] = mine;
  sync();
  if (threadIdx.x >= kWarpSize) return mine;
  return warp_argmax(threadIdx.x < n_threads / kWarpSize ? of_warp[threadIdx.x] : no_value());
}

}  // namespace haikuda::cuda
