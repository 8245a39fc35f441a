#include "infer/sampler_dry.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "infer/sampler_penalties.h"

namespace haikuda {
namespace {

struct Repetition {
  int next;    // the token that followed it
  int length;  // tokens
};

// For each place k how many tokens from there on equal those from the start: the Z-function
// (Gusfield 1997, section 1.4). The first is left 0.
std::vector<int> prefix_lengths(std::span<const int> tokens) {
  const std::size_t size = tokens.size();
  std::vector<int> lengths(size);
  std::size_t left = 0, right = 0;  // the match that reaches farthest
  for (std::size_t k = 1; k < size; ++k) {
    std::size_t n =
        k < right ? std::min(right - k, static_cast<std::size_t>(lengths[k - left])) : 0;
    while (k + n < size && tokens[n] == tokens[k + n]) ++n;
    if (k + n > right) left = k, right = k + n;
    lengths[k] = static_cast<int>(n);
  }
  return lengths;
}

// The earlier places where the last tokens stand too, of at least `least` tokens and cut to `most`;
// the longest of each next token.
std::vector<Repetition> find_repetitions(std::span<const int> newest_first, int least, int most) {
  const std::vector<int> lengths = prefix_lengths(newest_first);
  std::vector<Repetition> found;
  for (std::size_t k = 1; k < lengths.size(); ++k) {
    const int length = std::min(lengths[k], most);
    if (length >= least) found.push_back({newest_first[k - 1], length});
  }
  std::sort(found.begin(), found.end(), [](const Repetition& a, const Repetition& b) {
    return a.next != b.next ? a.next < b.next : a.length > b.length;
  });
  const auto is_same = [](const Repetition& a, const Repetition& b) { return a.next == b.next; };
  found.erase(std::unique(found.begin(), found.end(), is_same), found.end());
  return found;
}

using Breakers = std::span<const std::vector<int>>;

// Those of sorted `breakers` that start with `id`.
Breakers breakers_from(Breakers breakers, int id) {
  const auto is_before = [&](const std::vector<int>& b) { return b.front() < id; };
  const auto is_from = [&](const std::vector<int>& b) { return b.front() == id; };
  const auto first = std::partition_point(breakers.begin(), breakers.end(), is_before);
  return {first, std::partition_point(first, breakers.end(), is_from)};
}

}  // namespace

DryPenalty::DryPenalty(const SamplerOptions& options)
    : multiplier_(options.dry_multiplier),
      base_(options.dry_base),
      allowed_length_(options.dry_allowed_length),
      last_n_(options.dry_penalty_last_n),
      breakers_(options.dry_breakers) {
  std::sort(breakers_.begin(), breakers_.end());
}

bool DryPenalty::is_breaker(int id) const {
  const Breakers same_start = breakers_from(breakers_, id);
  return !same_start.empty() && same_start.front().size() == 1;
}

// All when there is none.
int DryPenalty::tokens_since_breaker(std::span<const int> newest_first) const {
  for (std::size_t i = 0; i < newest_first.size(); ++i) {
    std::size_t longest = 0;  // breaker that starts here; the shorter ones come first
    for (const std::vector<int>& breaker : breakers_from(breakers_, newest_first[i])) {
      const std::size_t n = breaker.size();
      if (n <= i + 1 && std::equal(breaker.rbegin(), breaker.rend(),
                                   newest_first.begin() + static_cast<std::ptrdiff_t>(i + 1 - n)))
        longest = n;
    }
    if (longest > 0) return static_cast<int>(i + 1 - longest);
  }
  return static_cast<int>(newest_first.size());
}

void DryPenalty::apply(Candidates& candidates, std::span<const int> history) const {
  const auto recent = last_tokens(history, last_n_);
  if (recent.size() <= static_cast<std::size_t>(allowed_length_)) return;
  const std::vector<int> newest_first(recent.rbegin(), recent.rend());
  const int most = tokens_since_breaker(newest_first);
  for (const Repetition& r : find_repetitions(newest_first, allowed_length_, most)) {
    Candidate* c = find_candidate(candidates, r.next);
    if (c == nullptr || is_breaker(r.next)) continue;
    constexpr double kMost = std::numeric_limits<float>::max();  // as llama.cpp bounds it
    c->logit -= multiplier_ * std::min(std::pow(base_, r.length - allowed_length_), kMost);
  }
}

}  // namespace haikuda
