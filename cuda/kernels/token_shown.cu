// The kernel that decodes a token, shown phase by phase: what its blocks handed on without the
// tags, and the end of a token that no launch has computed as a whole.
#include "cuda/device/tagged.cuh"
#include "cuda/device/tagged_halves.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/token_step.h"

namespace haikuda::cuda {
namespace {

__global__ void count_token_kernel(unsigned* n_done) {
  ++*n_done;
}

constexpr int kUntagThreads = 256;
__global__ __launch_bounds__(kUntagThreads) void untag_kernel(float2* out,
                                                              const TaggedPair* values,
                                                              int n_pairs,
                                                              bool in_units) {
  const int i = static_cast<int>(blockIdx.x * kUntagThreads + threadIdx.x);
  if (i >= n_pairs) return;
  out[i] = pair_of(values[in_units ? place_in_units(i) : i].bits);
}

__global__ __launch_bounds__(kUntagThreads) void untag_halves_kernel(float* out,
                                                                     const TaggedHalves* words,
                                                                     int n_words,
                                                                     TokenActOrder order) {
  const int word = static_cast<int>(blockIdx.x * kUntagThreads + threadIdx.x);
  if (word >= n_words) return;
  const std::uint64_t bits = words[word].bits;
  const uint2 halves = halves_of(bits);
  const float2 first = __half22float2(reinterpret_cast<const __half2&>(halves.x)),
               second = __half22float2(reinterpret_cast<const __half2&>(halves.y));
  const float scale = power_of_level(level_of_halves(bits));
  const float values[4] = {first.x, first.y, second.x, second.y};
  for (int i = 0; i < 4; ++i) out[order.column(4 * word + i)] = scale * values[i];
}

}  // namespace

void count_token(unsigned* n_done, cudaStream_t stream) {
  launch(count_token_kernel, grid_of(1), 1, stream, n_done);
}

void untag(float* out, const TaggedPair* values, int n, bool in_units, cudaStream_t stream) {
  launch(untag_kernel, grid_of(ceil_div(n / 2, kUntagThreads)), kUntagThreads, stream,
         reinterpret_cast<float2*>(out), values, n / 2, in_units);
}

void untag_halves(
    float* out, const TaggedPair* values, int n, TokenActOrder order, cudaStream_t stream) {
  launch(untag_halves_kernel, grid_of(ceil_div(n / 4, kUntagThreads)), kUntagThreads, stream, out,
         reinterpret_cast<const TaggedHalves*>(values), n / 4, order);
}

}  // namespace haikuda::cuda
