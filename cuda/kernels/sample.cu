// The first half of sampling: the likeliest token of each group. The k likeliest of all lie in the
// k groups whose likeliest are the k likeliest, whatever the logits: so the second half, a single
// block, looks into those groups alone. Bound by latency: 4 bytes a token of the vocabulary, 8
// more with bias and 4 with penalties.
#include "cuda/device/async.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/sample.cuh"

namespace haikuda::cuda {
namespace {

constexpr int kCountThreads = 256;

__global__ __launch_bounds__(kMaximaBlockThreads) void sample_maxima_kernel(SampleBuffers b) {
  let_dependents_start();
  wait_for_predecessors();
  const CommonChain chain = b.state->chain;
  const int thread = blockIdx.x * kMaximaBlockThreads + threadIdx.x;
  Ranked best = nobody();
#pragma unroll 4
  for (int id = thread; id < b.n_vocab; id += kMaximaThreads) {
    if (!isfinite(b.logits[id])) atomicMin(&b.state->first_not_finite, id);
    const Ranked next = ranked(b, chain, id);
    if (is_likelier(next, best)) best = next;
  }
#pragma unroll
  for (int distance = kGroupLanes / 2; distance > 0; distance /= 2) {
    const Ranked other{__shfl_xor_sync(kAllLanes, best.key, distance),
                       __shfl_xor_sync(kAllLanes, best.id, distance)};
    if (is_likelier(other, best)) best = other;
  }
  if (threadIdx.x % kGroupLanes == 0) {
    b.keys[thread / kGroupLanes] = best.key;
    b.ids[thread / kGroupLanes] = best.id;
  }
}

__global__ void begin_sampling_kernel(SampleState* state,
                                      SampleState value,
                                      int* position,
                                      int at) {
  *state = value;
  *position = at;
}

__global__ __launch_bounds__(kCountThreads) void count_tokens_kernel(int* counts,
                                                                     const int* tokens,
                                                                     int first,
                                                                     int end) {
  for (int i = first + static_cast<int>(blockIdx.x * kCountThreads + threadIdx.x); i < end;
       i += static_cast<int>(gridDim.x) * kCountThreads)
    atomicAdd(counts + tokens[i], 1);
}

}  // namespace

void begin_sampling(const SampleBuffers& b,
                    const CommonChain& chain,
                    unsigned sequence,
                    int n_history,
                    cudaStream_t stream) {
  HAIKUDA_CHECK(n_history >= 1 && n_history <= b.n_ctx);
  HAIKUDA_CHECK(chain.top_k >= 1 && chain.top_k <= kMostTopK && chain.top_k <= b.n_vocab);
  launch(begin_sampling_kernel, grid_of(1), 1, stream, b.state,
         SampleState{.chain = chain, .first_not_finite = INT_MAX, .sequence = sequence}, b.position,
         n_history - 1);
  if (chain.last_n == 0) return;
  const auto n_vocab = static_cast<std::size_t>(b.n_vocab);
  CUDA_CHECK(cudaMemsetAsync(b.counts, 0, n_vocab * sizeof(int), stream));
  const int first = chain.last_n < 0 ? 0 : std::max(0, n_history - chain.last_n);
  launch(count_tokens_kernel, grid_for(n_history - first, kCountThreads), kCountThreads, stream,
         b.counts, b.tokens, first, n_history);
}

void sample_token(const SampleBuffers& buffers, cudaStream_t stream) {
  launch_dependent(sample_maxima_kernel, grid_of(kMaximaBlocks), kMaximaBlockThreads, 0, stream,
                   buffers);
  launch_sample_draw(buffers, stream);
}

}  // namespace haikuda::cuda
