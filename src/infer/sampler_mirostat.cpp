#include "infer/sampler_mirostat.h"

#include <cmath>
#include <cstddef>

#include "infer/sampler_truncation.h"

namespace haikuda {
namespace {

// Least squares through the origin of log(p_i / p_{i+1}) on log((i+1) / i): arXiv 2007.14966.
double zipf_exponent(const Candidates& candidates) {
  constexpr std::size_t kMeasured = 100;  // m in the paper
  const std::vector<Candidate> first = likeliest(candidates, kMeasured);
  double sum_tb = 0, sum_tt = 0;
  for (std::size_t i = 0; i + 1 < first.size(); ++i) {
    const double t = std::log(static_cast<double>(i + 2) / static_cast<double>(i + 1));
    sum_tb += t * (first[i].logit - first[i + 1].logit);
    sum_tt += t * t;
  }
  return sum_tb / sum_tt;
}

}  // namespace

// Algorithm 1 of the paper; llama.cpp src/llama-sampler.cpp, mirostat.
void keep_mirostat_1(Candidates& candidates, double mu, int n_vocab) {
  if (candidates.size() == 1) return;
  const double s = zipf_exponent(candidates);
  const double epsilon = s - 1;
  const double log_n = std::log(static_cast<double>(n_vocab));
  // epsilon / (1 - N^-epsilon), which tends to 1 / log N.
  const double factor = epsilon == 0 ? 1 / log_n : epsilon / -std::expm1(-epsilon * log_n);
  const double k = std::pow(factor * std::exp2(mu), 1 / s);
  if (k >= static_cast<double>(candidates.size())) return;
  keep_top_k(candidates, k >= 1 ? static_cast<int>(k) : 1);  // NaN too
}

// Algorithm 2 of the paper; llama.cpp src/llama-sampler.cpp, mirostat-v2.
void keep_mirostat_2(Candidates& candidates, double mu) {
  const Softmax softmax(candidates);
  const Candidate best = *std::min_element(candidates.begin(), candidates.end(), is_likelier);
  if (softmax.surprise_bits(best) > mu) return keep_likeliest(candidates);
  std::erase_if(candidates, [&](const Candidate& c) { return softmax.surprise_bits(c) > mu; });
}

double next_mu(double mu, double surprise, double target, double learning_rate) {
  return mu - learning_rate * (surprise - target);
}

}  // namespace haikuda
