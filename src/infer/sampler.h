// Chooses the next token from logits: logit bias, then the samplers in the order of the options,
// then one draw. What a sampler does is in sampler_*.h.
#pragma once

#include <cstdint>
#include <span>

#include "infer/sampler_candidates.h"
#include "infer/sampler_dry.h"
#include "infer/sampler_options.h"

namespace haikuda {

class Sampler {
 public:
  // Throws Error(usage) when `options` do not pass validate().
  explicit Sampler(const SamplerOptions& options);

  // `history` are the tokens before, prompt included; its length is the counter of the random
  // draws. Logits are one for each token, finite (others are taken as huge or least). Equal logits
  // are ordered by id, so the same input gives the same token everywhere.
  int sample(std::span<const float> logits, std::span<const int> history);

  // Begins another sequence: mirostat starts anew.
  void reset(std::uint64_t seed);

 private:
  void apply(SamplerKind kind, std::span<const int> history);
  int sample_mirostat(int n_vocab, double uniform);

  SamplerOptions options_;
  DryPenalty dry_;
  double mu_ = 0;          // of mirostat: greatest surprise allowed, in bits
  Candidates candidates_;  // kept for its memory
};

}  // namespace haikuda
