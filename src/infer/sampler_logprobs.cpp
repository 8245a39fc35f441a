#include "infer/sampler_logprobs.h"

#include <algorithm>

#include "base/error.h"
#include "infer/sampler_candidates.h"

namespace haikuda {

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, int k) {
  HAIKUDA_CHECK(!logits.empty());
  Candidates candidates;
  fill_candidates(candidates, logits);
  const Softmax softmax(candidates);
  std::vector<TokenLogprob> top;
  for (const Candidate& c : likeliest(candidates, static_cast<std::size_t>(std::max(k, 0))))
    top.push_back({c.id, softmax.log_probability(c)});
  return top;
}

double logprob(std::span<const float> logits, int id) {
  HAIKUDA_CHECK(id >= 0 && static_cast<std::size_t>(id) < logits.size());
  Candidates candidates;
  fill_candidates(candidates, logits);
  return Softmax(candidates).log_probability(candidates[static_cast<std::size_t>(id)]);
}

}  // namespace haikuda
