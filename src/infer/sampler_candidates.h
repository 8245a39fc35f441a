// The tokens that may still be chosen, and what the samplers need to know of them. A set, not a
// ranking: between two samplers it is in order of id, so that no result depends on how a sampler
// sorted.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace haikuda {

struct Candidate {
  int id;
  double logit;  // finite
};

// Never empty, ids ascending.
using Candidates = std::vector<Candidate>;

// The likelier first, the lowest id of equals.
inline bool is_likelier(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

// Infinite logits become the greatest float, NaN the least, so that all arithmetic after it is
// finite.
double finite_logit(float logit);
// All ids of a vocabulary; `logits` is not empty.
void fill_candidates(Candidates& candidates, std::span<const float> logits);
// Null when `id` is not among them.
Candidate* find_candidate(Candidates& candidates, int id);
// Leaves the likeliest alone.
void keep_likeliest(Candidates& candidates);
// The n likeliest (or all), the likeliest first.
std::vector<Candidate> likeliest(const Candidates& candidates, std::size_t n);

// The probabilities of candidates relative to the likeliest, whose weight is 1.
class Softmax {
 public:
  explicit Softmax(const Candidates& candidates);

  double weight(const Candidate& c) const { return std::exp(c.logit - greatest_); }
  double total_weight() const { return total_; }
  double probability(const Candidate& c) const { return weight(c) / total_; }
  double log_probability(const Candidate& c) const { return c.logit - greatest_ - log_total_; }
  double surprise_bits(const Candidate& c) const;
  // In nats.
  double entropy(const Candidates& candidates) const;

 private:
  double greatest_;
  double total_ = 0;
  double log_total_;
};

// The candidate in whose share of [0, 1), in order of id, `uniform` lies. One of weight 0 never is.
const Candidate& draw_candidate(const Candidates& candidates, double uniform);

}  // namespace haikuda
