#include "infer/sampler_candidates.h"

#include <limits>
#include <numbers>

namespace haikuda {

double finite_logit(float logit) {
  constexpr float kGreatest = std::numeric_limits<float>::max();
  return logit > -kGreatest ? std::min(logit, kGreatest) : -kGreatest;
}

void fill_candidates(Candidates& candidates, std::span<const float> logits) {
  candidates.resize(logits.size());
  for (std::size_t i = 0; i < logits.size(); ++i)
    candidates[i] = {static_cast<int>(i), finite_logit(logits[i])};
}

Candidate* find_candidate(Candidates& candidates, int id) {
  const auto found = std::lower_bound(candidates.begin(), candidates.end(), id,
                                      [](const Candidate& c, int wanted) { return c.id < wanted; });
  return found != candidates.end() && found->id == id ? &*found : nullptr;
}

void keep_likeliest(Candidates& candidates) {
  const Candidate best = *std::min_element(candidates.begin(), candidates.end(), is_likelier);
  candidates.assign(1, best);
}

std::vector<Candidate> likeliest(const Candidates& candidates, std::size_t n) {
  std::vector<Candidate> first(std::min(n, candidates.size()));
  std::partial_sort_copy(candidates.begin(), candidates.end(), first.begin(), first.end(),
                         is_likelier);
  return first;
}

Softmax::Softmax(const Candidates& candidates) : greatest_(candidates.front().logit) {
  for (const Candidate& c : candidates) greatest_ = std::max(greatest_, c.logit);
  for (const Candidate& c : candidates) total_ += weight(c);
  log_total_ = std::log(total_);
}

double Softmax::surprise_bits(const Candidate& c) const {
  return -log_probability(c) / std::numbers::ln2;
}

double Softmax::entropy(const Candidates& candidates) const {
  double sum = 0;
  for (const Candidate& c : candidates) sum -= weight(c) * log_probability(c);
  return sum / total_;
}

const Candidate& draw_candidate(const Candidates& candidates, double uniform) {
  const Softmax softmax(candidates);
  double left = uniform * softmax.total_weight();
  const Candidate* drawn = &candidates.front();
  for (const Candidate& c : candidates) {
    const double weight = softmax.weight(c);
    if (weight == 0) continue;
    drawn = &c;
    left -= weight;
    if (left < 0) break;
  }
  return *drawn;
}

}  // namespace haikuda
