// The greatest logit. Bound by latency: two launches over 4 bytes a word of the vocabulary.
#include "cuda/kernels/argmax.cuh"

#include "cuda/device/async.cuh"
#include "cuda/kernels/gemv_params.h"
#include "cuda/kernels/launch.cuh"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;

__global__ __launch_bounds__(kThreads) void argmax_partial_kernel(
    ArgmaxResult* __restrict__ partial, const float* __restrict__ values, int n) {
  ArgmaxResult best = no_value();
  for (std::int64_t i = blockIdx.x * kThreads + threadIdx.x; i < n; i += kArgmaxBlocks * kThreads)
    best = merged(best, values[i], static_cast<int>(i));
  best = block_argmax(best);
  if (threadIdx.x == 0) partial[blockIdx.x] = best;
}

__global__ __launch_bounds__(kThreads) void finish_argmax_kernel(ArgmaxResult* out,
                                                                 const ArgmaxResult* partial,
                                                                 int n) {
  let_dependents_start();
  wait_for_predecessors();
  ArgmaxResult best = no_value();
  for (int i = threadIdx.x; i < n; i += kThreads) best = merged(best, partial[i]);
  best = block_argmax(best);
  if (threadIdx.x != 0) return;
  if (best.index == INT_MAX) best.index = 0;
  *out = best;
}

}  // namespace

void finish_argmax(ArgmaxResult* out, const ArgmaxResult* partial, int n, cudaStream_t stream) {
  launch_dependent(finish_argmax_kernel, grid_of(1), kThreads, 0, stream, out, partial, n);
}

void argmax(
    ArgmaxResult* out, ArgmaxResult* partial, const float* values, int n, cudaStream_t stream) {
  launch(argmax_partial_kernel, grid_of(kArgmaxBlocks), kThreads, stream, partial, values, n);
  finish_argmax(out, partial, kArgmaxBlocks, stream);
}

}  // namespace haikuda::cuda
