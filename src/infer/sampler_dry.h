// DRY ("don't repeat yourself"): a token that would lengthen a repetition of earlier text costs
// more the longer the repetition is. https://github.com/oobabooga/text-generation-webui/pull/5677;
// llama.cpp src/llama-sampler.cpp, dry.
#pragma once

#include <span>
#include <vector>

#include "infer/sampler_candidates.h"
#include "infer/sampler_options.h"

namespace haikuda {

class DryPenalty {
 public:
  // No breaker is empty.
  explicit DryPenalty(const SamplerOptions& options);

  // A candidate that has followed the last L tokens of `history` before, L the greatest such, gets
  // multiplier * base ^ (L - allowed_length) less when L >= allowed_length. L counts no token
  // before the end of the last breaker, and a candidate that is a breaker pays nothing. Linear in
  // the tokens looked back on, but for sorting what was found.
  void apply(Candidates& candidates, std::span<const int> history) const;

 private:
  bool is_breaker(int id) const;
  int tokens_since_breaker(std::span<const int> newest_first) const;

  double multiplier_;
  double base_;
  int allowed_length_;
  int last_n_;
  std::vector<std::vector<int>> breakers_;  // sorted
};

}  // namespace haikuda
