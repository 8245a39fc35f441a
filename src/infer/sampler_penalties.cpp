#include "infer/sampler_penalties.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace haikuda {

std::span<const int> last_tokens(std::span<const int> history, int n) {
  return n < 0 ? history : history.last(std::min(history.size(), static_cast<std::size_t>(n)));
}

// llama.cpp src/llama-sampler.cpp, logit-bias.
void apply_logit_bias(Candidates& candidates, std::span<const LogitBias> biases) {
  for (const LogitBias& b : biases)
    if (Candidate* c = find_candidate(candidates, b.id)) c->logit += b.bias;
  std::erase_if(candidates, [](const Candidate& c) { return std::isinf(c.logit); });
  if (candidates.empty())
    throw Error(ExitCode::usage, "--logit-bias: no token is left; allow at least one");
}

// Repeat: arXiv 1909.05858 section 4.1; frequency and presence: OpenAI's API; together: llama.cpp,
// penalties.
void apply_penalties(Candidates& candidates,
                     std::span<const int> recent,
                     double repeat,
                     double frequency,
                     double presence) {
  std::vector<int> ids(recent.begin(), recent.end());
  std::sort(ids.begin(), ids.end());
  for (auto first = ids.begin(); first != ids.end();) {
    const auto end = std::upper_bound(first, ids.end(), *first);
    if (Candidate* c = find_candidate(candidates, *first)) {
      c->logit = c->logit > 0 ? c->logit / repeat : c->logit * repeat;
      c->logit -= static_cast<double>(end - first) * frequency + presence;
    }
    first = end;
  }
}

}  // namespace haikuda
