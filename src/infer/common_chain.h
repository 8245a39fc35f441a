// The common chain of samplers as numbers: what a device needs to choose tokens by itself.
#pragma once

#include <cstdint>
#include <optional>

#include "infer/sampler_options.h"

namespace haikuda {

// Logit bias, penalties, top-k, top-p, min-p, temperature, in that order, then one draw: the steps
// of sampler_penalties.h, sampler_truncation.h and sampler_temperature.h. Greedy is top_k 1.
struct CommonChain {
  std::uint64_t seed = 0;
  bool has_bias = false;  // SamplerOptions::logit_bias changes some logit
  int last_n = 0;         // tokens the penalties look back on; -1: all, 0: there are no penalties
  double repeat = 1, frequency = 0, presence = 0;
  int top_k = 1;  // 1 at least; never more than the tokens that the bias leaves
  double top_p = 1;
  double log_min_p = 0;  // of a min-p above 0, otherwise has_min_p is false
  bool has_min_p = false;
  double temperature = 1;  // above 0
  int min_keep = 0;        // candidates that top-p and min-p leave at least
};

// Nothing where `options` ask for another sampler, another order, or forbid every token.
std::optional<CommonChain> common_chain(const SamplerOptions& options, int n_vocab);

}  // namespace haikuda
