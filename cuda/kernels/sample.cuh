// What kernels that choose a token share: logits after bias and penalties, their order, and how the
// host gets a token.
#pragma once

#include <cfloat>
#include <climits>
#include <cstdint>

#include "cuda/sample_ops.h"

namespace haikuda::cuda {

// The likelier has the greater key; a token that cannot be chosen has key 0. Of equal keys the
// lowest id comes first, so that no two tokens are equal.
struct Ranked {
  std::uint64_t key;
  int id;
};
__device__ inline bool is_likelier(const Ranked& a, const Ranked& b) {
  return a.key != b.key ? a.key > b.key : a.id < b.id;
}
__device__ inline Ranked nobody() {
  return {0, INT_MAX};
}

// Unsigned integers in the order of the finite numbers; minus infinity is 0.
__device__ inline std::uint64_t key_of(double logit) {
  if (logit == -INFINITY) return 0;
  const auto bits = static_cast<std::uint64_t>(__double_as_longlong(logit + 0.0));  // one zero
  return bits >> 63 != 0 ? ~bits : bits | std::uint64_t{1} << 63;
}
__device__ inline double logit_of(std::uint64_t key) {
  const std::uint64_t bits = key >> 63 != 0 ? key & ~(std::uint64_t{1} << 63) : ~key;
  return __longlong_as_double(static_cast<long long>(bits));
}

// The logit of a token as apply_logit_bias and apply_penalties of the host leave it, bit by bit:
// no product is contracted with a sum.
__device__ inline double adjusted_logit(const SampleBuffers& b, const CommonChain& chain, int id) {
  const float raw = b.logits[id];
  double logit = raw > -FLT_MAX ? fminf(raw, FLT_MAX) : -FLT_MAX;  // NaN too
  if (chain.has_bias) logit = __dadd_rn(logit, b.bias[id]);
  if (chain.last_n == 0) return logit;
  const int count = b.counts[id];
  if (count == 0 || logit == -INFINITY) return logit;
  logit = logit > 0 ? logit / chain.repeat : __dmul_rn(logit, chain.repeat);
  return __dadd_rn(logit, -__dadd_rn(__dmul_rn(count, chain.frequency), chain.presence));
}
__device__ inline Ranked ranked(const SampleBuffers& b, const CommonChain& chain, int id) {
  const std::uint64_t key = key_of(adjusted_logit(b, chain, id));
  return key == 0 ? nobody() : Ranked{key, id};
}

// The first kernel finds the likeliest of each group of tokens. Threads t = 0 … kMaximaThreads - 1
// of the grid take the tokens t, t + kMaximaThreads, …; kGroupLanes neighbours are a group.
constexpr int kMaximaBlocks = 128;
constexpr int kMaximaBlockThreads = 256;
constexpr int kMaximaThreads = kMaximaBlocks * kMaximaBlockThreads;
constexpr int kGroupLanes = 8;
static_assert(kMaximaThreads / kGroupLanes == kSampleGroups);

// By one thread: the token becomes the newest of the sequence, and the host gets it. *b.position
// stays.
__device__ inline void publish_token(const SampleBuffers& b,
                                     const CommonChain& chain,
                                     int token,
                                     int position) {
  if (position < b.n_ctx) b.tokens[position] = token;  // otherwise nobody goes on from it
  if (chain.last_n != 0) atomicAdd(b.counts + token, 1);
  if (chain.last_n > 0 && position >= chain.last_n)
    atomicAdd(b.counts + b.tokens[position - chain.last_n], -1);

  const int bad = b.state->first_not_finite;
  const unsigned sequence = b.state->sequence;
  volatile SampledToken& slot = b.ring[sequence % kSampleRing];
  slot.not_finite_id = bad == INT_MAX ? -1 : bad;
  if (bad != INT_MAX) {
    slot.not_finite = b.logits[bad];
    __threadfence_system();
    token = -1;
  }
  *reinterpret_cast<volatile std::uint64_t*>(&slot.token) =
      std::uint64_t{sequence} << 32 | static_cast<std::uint32_t>(token);
  b.state->first_not_finite = INT_MAX;
  b.state->sequence = sequence + 1;
}

// By n_threads threads, when a logit is not finite: which is the first.
__device__ inline void find_not_finite(const SampleBuffers& b, int thread, int n_threads) {
#pragma unroll 1
  for (int id = thread; id < b.n_vocab; id += n_threads)
    if (!isfinite(b.logits[id])) atomicMin(&b.state->first_not_finite, id);
}
// Of the greatest of all logits.
__device__ inline int token_of(const ArgmaxResult& best) {
  return best.index == INT_MAX ? 0 : best.index;
}

void launch_sample_draw(const SampleBuffers& buffers, cudaStream_t stream);

}  // namespace haikuda::cuda
