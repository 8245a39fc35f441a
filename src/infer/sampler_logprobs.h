// Log probabilities of tokens by the model's own logits, before any sampler: what --logprobs
// reports.
#pragma once

#include <span>
#include <vector>

namespace haikuda {

struct TokenLogprob {
  int id;
  double logprob;  // natural logarithm, finite
};

// The k likeliest (or all), the likeliest first, the lowest id of equals. `logits` is not empty.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int k);
double logprob(std::span<const float> logits, int id);

}  // namespace haikuda
