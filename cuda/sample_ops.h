// The ops that choose a token, kernels/sample.cu and sample_draw.cu: the common chain on the
// device, as Sampler computes it on the host, the same token but where two sums of the host differ
// in their last bit. What ops.h says of all ops holds here too.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/ops.h"
#include "infer/common_chain.h"

namespace haikuda::cuda {

constexpr int kMostTopK = 1024;
constexpr int kSampleGroups = 4096;
constexpr int kSampleRing = 64;

// A finished token as the host reads it from pinned memory, behind the device. Complete once
// `sequence` is the one waited for: it is written in one piece with `token`, after the rest.
struct alignas(16) SampledToken {
  int not_finite_id;  // the lowest token whose logit is NaN or infinite, -1: none
  float not_finite;   // that logit
  int token;          // -1 where there is such a logit: then alone the host reads the two above
  unsigned sequence;
};
struct SampleState {
  CommonChain chain;
  int first_not_finite;
  unsigned sequence;  // of the next token
};
struct SampleBuffers {
  const float* logits;          // (n_vocab)
  const double* bias;           // (n_vocab), read only where the chain has a bias
  int* counts;                  // (n_vocab) occurrences among the tokens looked back on
  std::uint64_t* keys;          // (kSampleGroups) scratch
  int* ids;                     // (kSampleGroups) scratch
  SampleState* state;           // one
  int* tokens;                  // (n_ctx) of the sequence
  int* position;                // of the newest token that was evaluated
  volatile SampledToken* ring;  // (kSampleRing) pinned memory of the host
  int n_vocab, n_ctx;
};
// Before the first token: `n_history` tokens lie in `tokens`, the logits are those that follow. The
// tokens get the sequence numbers from `sequence` on.
void begin_sampling(const SampleBuffers& buffers,
                    const CommonChain& chain,
                    unsigned sequence,
                    int n_history,
                    cudaStream_t stream);
// Chooses the token at *position + 1, writes it there and into the ring, and moves *position.
void sample_token(const SampleBuffers& buffers, cudaStream_t stream);
// The same for a chain that is_greedy(), from what norm_head left in partial (n_partial), of the
// token at *position + n_ahead + 1.
void sample_greedy(const SampleBuffers& buffers,
                   const ArgmaxResult* partial,
                   int n_partial,
                   int n_ahead,
                   cudaStream_t stream);
// Whether the greatest logit is chosen, as it is.
inline bool is_greedy(const CommonChain& chain) {
  return chain.top_k == 1 && !chain.has_bias && chain.last_n == 0;
}

}  // namespace haikuda::cuda
