#include "infer/sampler_truncation.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

namespace haikuda {
namespace {

// Where a candidate stands in the order in which a sampler keeps them: least rank first, lowest id
// of equals.
struct Place {
  double rank;
  double weight;
  int id;
};

bool comes_first(const Place& a, const Place& b) {
  return a.rank != b.rank ? a.rank < b.rank : a.id < b.id;
}

double sum_weights(auto first, auto last) {
  double sum = 0;
  for (; first != last; ++first) sum += first->weight;
  return sum;
}

// The place of the last that is kept when it is kept until is_enough(sum of weights), and at least
// min_keep are. Linear: selects in the part where that place must be, and sorts only its last few.
template <class Enough>
Place last_kept(std::vector<Place> places, Enough is_enough, int min_keep) {
  const auto begin = places.begin();
  auto first = begin, last = places.end();  // it is in [first, last)
  double sum = 0;                           // of the weights before `first`
  const auto stops_at = [&](auto end, double weights) {
    return is_enough(weights) && end - begin >= min_keep;
  };
  for (std::ptrdiff_t n = 256; last - first > 64; n = last - first) {  // as a rule few are kept
    const auto middle = first + std::min(n, (last - first) / 2);
    std::nth_element(first, middle, last, comes_first);
    const double weights = sum + sum_weights(first, middle);
    if (stops_at(middle, weights))
      last = middle;
    else
      first = middle, sum = weights;
  }
  std::sort(first, last, comes_first);
  for (; first != last; ++first)
    if (sum += first->weight; stops_at(first + 1, sum)) return *first;
  return last[-1];
}

// Keeps candidates by rank(candidate), until is_enough(sum of their probabilities).
template <class Rank, class Enough>
void keep_until(
    Candidates& candidates, const Softmax& softmax, Rank rank, Enough is_enough, int min_keep) {
  const auto place = [&](const Candidate& c) { return Place{rank(c), softmax.weight(c), c.id}; };
  std::vector<Place> places(candidates.size());
  std::transform(candidates.begin(), candidates.end(), places.begin(), place);
  const auto enough = [&](double weights) { return is_enough(weights / softmax.total_weight()); };
  const Place last = last_kept(std::move(places), enough, min_keep);
  std::erase_if(candidates, [&](const Candidate& c) {
    return comes_first(last, {rank(c), 0, c.id});
  });
}

// 1 <= k <= number of candidates.
Candidate kth_likeliest(const Candidates& candidates, std::size_t k) {
  constexpr std::size_t kHeapPays = 512;
  if (k <= kHeapPays) return likeliest(candidates, k).back();
  std::vector<Candidate> all = candidates;
  const auto kth = all.begin() + static_cast<std::ptrdiff_t>(k - 1);
  std::nth_element(all.begin(), kth, all.end(), is_likelier);
  return *kth;
}

}  // namespace

// llama.cpp src/llama-sampler.cpp, top-k.
void keep_top_k(Candidates& candidates, int k) {
  if (k <= 0 || static_cast<std::size_t>(k) >= candidates.size()) return;
  const Candidate last = kth_likeliest(candidates, static_cast<std::size_t>(k));
  std::erase_if(candidates, [&](const Candidate& c) { return is_likelier(last, c); });
}

// Nucleus sampling, arXiv 1904.09751.
void keep_top_p(Candidates& candidates, double p, int min_keep) {
  if (p >= 1) return;
  const auto rank = [](const Candidate& c) { return -c.logit; };
  keep_until(
      candidates, Softmax(candidates), rank, [&](double sum) { return sum >= p; }, min_keep);
}

// arXiv 2407.01082.
void keep_min_p(Candidates& candidates, double p, int min_keep) {
  if (p <= 0) return;
  const double least =
      std::min_element(candidates.begin(), candidates.end(), is_likelier)->logit + std::log(p);
  const auto is_kept = [&](const Candidate& c) { return c.logit >= least; };
  if (std::count_if(candidates.begin(), candidates.end(), is_kept) < min_keep)
    return keep_top_k(candidates, min_keep);
  std::erase_if(candidates, std::not_fn(is_kept));
}

// Locally typical sampling, arXiv 2202.00666.
void keep_typical(Candidates& candidates, double p, int min_keep) {
  if (p >= 1) return;
  const Softmax softmax(candidates);
  const double entropy = softmax.entropy(candidates);
  const auto rank = [&](const Candidate& c) {
    return std::abs(softmax.log_probability(c) + entropy);
  };
  keep_until(
      candidates, softmax, rank, [&](double sum) { return sum > p; }, min_keep);
}

// arXiv 2411.07641.
void keep_top_n_sigma(Candidates& candidates, double n) {
  if (n <= 0) return;
  const auto size = static_cast<double>(candidates.size());
  double greatest = candidates.front().logit;
  double mean = 0;
  for (const Candidate& c : candidates)
    greatest = std::max(greatest, c.logit), mean += c.logit / size;
  double variance = 0;
  for (const Candidate& c : candidates) variance += (c.logit - mean) * (c.logit - mean) / size;
  const double least = greatest - n * std::sqrt(variance);
  std::erase_if(candidates, [&](const Candidate& c) { return c.logit < least; });
}

// Exclude Top Choices, https://github.com/oobabooga/text-generation-webui/pull/6335.
void drop_top_choices(Candidates& candidates, double threshold, int min_keep) {
  const Softmax softmax(candidates);
  const Candidate* least_likely = nullptr;  // of the top choices
  std::size_t n_top = 0;
  const auto is_top = [&](const Candidate& c) { return softmax.probability(c) >= threshold; };
  for (const Candidate& c : candidates) {
    if (!is_top(c)) continue;
    ++n_top;
    if (least_likely == nullptr || is_likelier(*least_likely, c)) least_likely = &c;
  }
  if (n_top < 2 || candidates.size() - (n_top - 1) < static_cast<std::size_t>(min_keep)) return;
  const int kept = least_likely->id;
  std::erase_if(candidates, [&](const Candidate& c) { return c.id != kept && is_top(c); });
}

}  // namespace haikuda
