// A million draws of each sampler against the exact probabilities, which a naive implementation of
// its definition works out here: sorted lists, no sharing of code with the samplers.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <vector>

#include "infer/sampler.h"
#include "support/catch.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

struct Token {
  int id;
  double logit;
  double p = 0;
};

// The likeliest first, with probabilities.
using Ranking = std::vector<Token>;

Ranking rank(Ranking tokens) {
  double sum = 0;
  for (const Token& t : tokens) sum += std::exp(t.logit);
  for (Token& t : tokens) t.p = std::exp(t.logit) / sum;
  std::stable_sort(tokens.begin(), tokens.end(),
                   [](const Token& a, const Token& b) { return a.p > b.p; });
  return tokens;
}

Ranking rank(const std::vector<float>& logits) {
  Ranking tokens;
  for (std::size_t i = 0; i < logits.size(); ++i)
    tokens.push_back({static_cast<int>(i), logits[i]});
  return rank(tokens);
}

Ranking first(const Ranking& tokens, std::size_t n) {
  return rank(Ranking(tokens.begin(),
                      tokens.begin() + static_cast<std::ptrdiff_t>(std::min(n, tokens.size()))));
}

Ranking map_logits(Ranking tokens, const std::function<double(const Token&)>& change) {
  for (Token& t : tokens) t.logit = change(t);
  return rank(tokens);
}

Ranking naive_top_p(const Ranking& tokens, double p) {
  double sum = 0;
  std::size_t n = 0;
  while (sum < p) sum += tokens[n++].p;
  return first(tokens, n);
}

Ranking naive_min_p(const Ranking& tokens, double p) {
  Ranking kept;
  for (const Token& t : tokens)
    if (t.p / tokens[0].p >= p) kept.push_back(t);
  return rank(kept);
}

double naive_entropy(const Ranking& tokens) {
  double entropy = 0;
  for (const Token& t : tokens) entropy -= t.p * std::log(t.p);
  return entropy;
}

Ranking naive_typical(Ranking tokens, double p) {
  const double entropy = naive_entropy(tokens);
  std::sort(tokens.begin(), tokens.end(), [&](const Token& a, const Token& b) {
    return std::abs(-std::log(a.p) - entropy) < std::abs(-std::log(b.p) - entropy);
  });
  double sum = 0;
  std::size_t n = 0;
  while (sum <= p) sum += tokens[n++].p;
  return first(tokens, n);
}

Ranking naive_top_n_sigma(const Ranking& tokens, double n) {
  double sum = 0, square = 0;
  for (const Token& t : tokens) sum += t.logit, square += t.logit * t.logit;
  const double mean = sum / static_cast<double>(tokens.size());
  const double sigma = std::sqrt(square / static_cast<double>(tokens.size()) - mean * mean);
  Ranking kept;
  for (const Token& t : tokens)
    if (t.logit >= tokens[0].logit - n * sigma) kept.push_back(t);
  return rank(kept);
}

Ranking naive_xtc(const Ranking& tokens, double threshold) {
  std::size_t n = 0;
  while (n + 1 < tokens.size() && tokens[n + 1].p >= threshold) ++n;
  return rank(Ranking(tokens.begin() + static_cast<std::ptrdiff_t>(n), tokens.end()));
}

Ranking naive_penalties(const Ranking& tokens,
                        const std::vector<int>& recent,
                        const SamplerOptions& o) {
  return map_logits(tokens, [&](const Token& t) {
    const auto n = std::count(recent.begin(), recent.end(), t.id);
    if (n == 0) return t.logit;
    const double logit = t.logit <= 0 ? t.logit * o.repeat_penalty : t.logit / o.repeat_penalty;
    return logit - o.presence_penalty - static_cast<double>(n) * o.frequency_penalty;
  });
}

// How many of the last tokens before `a` and before `b` are the same, in [0, most].
int common_suffix(const std::vector<int>& text, int a, int b, int most) {
  int n = 0;
  while (n < most && a - 1 - n >= 0 &&
         text[static_cast<std::size_t>(a - 1 - n)] == text[static_cast<std::size_t>(b - 1 - n)])
    ++n;
  return n;
}

Ranking naive_dry(const Ranking& tokens, const std::vector<int>& text, const SamplerOptions& o) {
  const int size = static_cast<int>(text.size());
  int most = size;
  for (int i = 0; i < size; ++i)  // breakers of one token
    for (const auto& breaker : o.dry_breakers)
      if (breaker[0] == text[static_cast<std::size_t>(i)]) most = size - 1 - i;
  return map_logits(tokens, [&](const Token& t) {
    int longest = -1;
    for (int i = 0; i < size; ++i)
      if (text[static_cast<std::size_t>(i)] == t.id)
        longest = std::max(longest, common_suffix(text, i, size, most));
    if (longest < o.dry_allowed_length) return t.logit;
    return t.logit - o.dry_multiplier * std::pow(o.dry_base, longest - o.dry_allowed_length);
  });
}

Ranking naive_temperature(const Ranking& tokens, double t) {
  return map_logits(tokens, [&](const Token& token) { return token.logit / t; });
}

Ranking naive_dynatemp(const Ranking& tokens, double t, double range, double exponent) {
  const double share = naive_entropy(tokens) / std::log(static_cast<double>(tokens.size()));
  const double low = std::max(0.0, t - range);
  return naive_temperature(tokens, low + (t + range - low) * std::pow(share, exponent));
}

Ranking naive_mirostat_1(const Ranking& tokens, double mu) {
  double tb = 0, tt = 0;
  for (std::size_t i = 0; i + 1 < std::min<std::size_t>(tokens.size(), 100); ++i) {
    const double t = std::log((static_cast<double>(i) + 2) / (static_cast<double>(i) + 1));
    tb += t * std::log(tokens[i].p / tokens[i + 1].p), tt += t * t;
  }
  const double s = tb / tt;
  const double k = std::pow(
      (s - 1) * std::pow(2, mu) / (1 - std::pow(static_cast<double>(tokens.size()), 1 - s)), 1 / s);
  return first(tokens, static_cast<std::size_t>(std::max(1.0, k)));
}

Ranking naive_mirostat_2(const Ranking& tokens, double mu) {
  std::size_t n = 1;
  while (n < tokens.size() && -std::log2(tokens[n].p) <= mu) ++n;
  return first(tokens, n);
}

using Probabilities = std::map<int, double>;

Probabilities by_id(const Ranking& tokens) {
  Probabilities out;
  for (const Token& t : tokens) out[t.id] = t.p;
  return out;
}

// share * a + (1 - share) * b.
Probabilities mixture(const Ranking& a, const Ranking& b, double share) {
  Probabilities out;
  for (const Token& t : a) out[t.id] += share * t.p;
  for (const Token& t : b) out[t.id] += (1 - share) * t.p;
  return out;
}

// What a chi-square variable exceeds with a probability of 1e-6 (Wilson and Hilferty 1931).
double critical_chi_square(double freedom) {
  constexpr double kNormal = 4.7534;
  const double v = 2 / (9 * freedom);
  return freedom * std::pow(1 - v + kNormal * std::sqrt(v), 3);
}

void check_counts(const std::map<int, int>& counts, const Probabilities& expected, int n_draws) {
  double chi_square = 0;
  for (const auto& [id, p] : expected) {
    const auto found = counts.find(id);
    const double n = found == counts.end() ? 0 : found->second;
    CAPTURE(id, n, p * n_draws);
    REQUIRE(p * n_draws > 10);  // else the test says little
    chi_square += (n - p * n_draws) * (n - p * n_draws) / (p * n_draws);
  }
  for (const auto& [id, n] : counts) {
    CAPTURE(id, n);
    REQUIRE(expected.count(id) == 1);
  }
  CAPTURE(chi_square, expected.size());
  REQUIRE(chi_square <
          critical_chi_square(std::max(1.0, static_cast<double>(expected.size()) - 1)));
}

constexpr int kDraws = 1000000;

// Ids 0 to 11, probabilities from 0.0036 to 0.27 in no order.
const std::vector<float> kLogits = {0.4f, -1.7f, 1.9f, 0.1f, 2.6f,  -0.6f,
                                    1.1f, -1.1f, 2.2f, 1.4f, -0.2f, 0.8f};
// Ends as it did before: 4 8 2, then 9, and 8 2, then 6; 2, then 4.
const std::vector<int> kHistory = {4, 8, 2, 9, 8, 2, 6, 2, 4, 3, 4, 8, 2};

// Each draw with a seed of its own, after kHistory.
void check_draws(const SamplerOptions& options, const Probabilities& expected) {
  Sampler sampler(options);
  std::map<int, int> counts;
  for (int i = 0; i < kDraws; ++i) {
    sampler.reset(static_cast<std::uint64_t>(i));
    ++counts[sampler.sample(kLogits, kHistory)];
  }
  check_counts(counts, expected, kDraws);
}

SamplerOptions plain() {
  return {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0};
}

TEST_CASE("sampler statistics: positions under one seed are as random as seeds",
          "[sampler][statistics]") {
  const std::vector<int> history(kDraws, 0);
  Sampler sampler(plain());
  std::map<int, int> counts;
  for (std::size_t i = 0; i < history.size(); ++i)
    ++counts[sampler.sample(kLogits, std::span(history).first(i))];
  check_counts(counts, by_id(rank(kLogits)), kDraws);
}

TEST_CASE("sampler statistics: temperature", "[sampler][statistics]") {
  SamplerOptions o = plain();
  SECTION("one: the softmax") {
    check_draws(o, by_id(rank(kLogits)));
  }
  SECTION("other") {
    o.temperature = 0.6;
    check_draws(o, by_id(naive_temperature(rank(kLogits), 0.6)));
  }
  SECTION("dynamic") {
    o.temperature = 0.9, o.dynatemp_range = 0.6, o.dynatemp_exponent = 1.5;
    check_draws(o, by_id(naive_dynatemp(rank(kLogits), 0.9, 0.6, 1.5)));
  }
}

TEST_CASE("sampler statistics: logit bias", "[sampler][statistics]") {
  SamplerOptions o = plain();
  o.logit_bias = {{1, 2.5}, {4, -1}};
  check_draws(o, by_id(map_logits(rank(kLogits), [](const Token& t) {
                return t.logit + (t.id == 1 ? 2.5 : t.id == 4 ? -1 : 0);
              })));
}

TEST_CASE("sampler statistics: penalties", "[sampler][statistics]") {
  SamplerOptions o = plain();
  o.repeat_penalty = 1.3, o.frequency_penalty = 0.2, o.presence_penalty = 0.4, o.repeat_last_n = 8;
  const std::vector<int> recent(kHistory.end() - 8, kHistory.end());
  check_draws(o, by_id(naive_penalties(rank(kLogits), recent, o)));
}

TEST_CASE("sampler statistics: DRY", "[sampler][statistics]") {
  SamplerOptions o = plain();
  o.dry_multiplier = 0.5, o.dry_base = 1.5, o.dry_allowed_length = 1;
  SECTION("all of the history") {
    check_draws(o, by_id(naive_dry(rank(kLogits), kHistory, o)));
  }
  SECTION("up to a breaker") {
    o.dry_breakers = {{4}, {7}};
    const Ranking expected = map_logits(naive_dry(rank(kLogits), kHistory, o), [&](const Token& t) {
      return t.id == 4 || t.id == 7 ? static_cast<double>(kLogits[static_cast<std::size_t>(t.id)])
                                    : t.logit;
    });
    check_draws(o, by_id(expected));
  }
}

TEST_CASE("sampler statistics: truncation", "[sampler][statistics]") {
  SamplerOptions o = plain();
  const Ranking all = rank(kLogits);
  SECTION("top-k") {
    o.top_k = 5;
    check_draws(o, by_id(first(all, 5)));
  }
  SECTION("top-p") {
    o.top_p = 0.8;
    check_draws(o, by_id(naive_top_p(all, 0.8)));
  }
  SECTION("min-p") {
    o.min_p = 0.15;
    check_draws(o, by_id(naive_min_p(all, 0.15)));
  }
  SECTION("typical") {
    o.typical_p = 0.6;
    check_draws(o, by_id(naive_typical(all, 0.6)));
  }
  SECTION("top-n-sigma") {
    o.top_n_sigma = 1.2;
    check_draws(o, by_id(naive_top_n_sigma(all, 1.2)));
  }
  SECTION("XTC, three times of ten") {
    o.xtc_probability = 0.3, o.xtc_threshold = 0.12;
    check_draws(o, mixture(naive_xtc(all, 0.12), all, 0.3));
  }
}

TEST_CASE("sampler statistics: mirostat's first draw", "[sampler][statistics]") {
  SamplerOptions o = plain();
  o.temperature = 0.8, o.mirostat_ent = 1.2;  // mu is twice that
  const Ranking all = naive_temperature(rank(kLogits), 0.8);
  SECTION("1") {
    o.mirostat = 1;
    check_draws(o, by_id(naive_mirostat_1(all, 2.4)));
  }
  SECTION("2") {
    o.mirostat = 2;
    check_draws(o, by_id(naive_mirostat_2(all, 2.4)));
  }
}

TEST_CASE("sampler statistics: the whole chain in the default order", "[sampler][statistics]") {
  SamplerOptions o{.temperature = 0.7, .top_k = 9, .top_p = 0.95, .min_p = 0.05, .typical_p = 0.97};
  o.repeat_penalty = 1.1, o.frequency_penalty = 0.1, o.presence_penalty = 0.1;
  o.dry_multiplier = 0.3, o.top_n_sigma = 1.8;
  o.xtc_probability = 0.4, o.xtc_threshold = 0.15, o.dynatemp_range = 0.2;
  Ranking t = naive_penalties(rank(kLogits), kHistory, o);
  t = naive_top_n_sigma(naive_dry(t, kHistory, o), 1.8);
  t = naive_min_p(naive_top_p(naive_typical(first(t, 9), 0.97), 0.95), 0.05);
  const auto heat = [](const Ranking& r) { return naive_dynatemp(r, 0.7, 0.2, 1); };
  check_draws(o, mixture(heat(naive_xtc(t, 0.15)), heat(t), 0.4));
}

// The mean surprise among the tokens that the naive mirostat leaves, which follows along with a mu
// of its own.
double mean_surprise(int version, double target, int n_draws) {
  std::vector<float> logits;
  logits.reserve(500);
  for (int i = 0; i < 500; ++i)
    logits.push_back(static_cast<float>(-1.1 * std::log(i + 1.0) + 0.5 * std::sin(i)));
  SamplerOptions o = plain();
  o.mirostat = version, o.mirostat_ent = target;
  Sampler sampler(o);
  const Ranking all = rank(logits);
  const std::vector<int> history(static_cast<std::size_t>(n_draws), 0);
  double mu = 2 * target, sum = 0;
  for (std::size_t i = 0; i < history.size(); ++i) {
    const Ranking kept = version == 1 ? naive_mirostat_1(all, mu) : naive_mirostat_2(all, mu);
    const int id = sampler.sample(logits, std::span(history).first(i));
    const auto drawn =
        std::find_if(kept.begin(), kept.end(), [&](const Token& t) { return t.id == id; });
    REQUIRE(drawn != kept.end());
    const double surprise = -std::log2(drawn->p);
    sum += surprise;
    mu -= o.mirostat_lr * (surprise - target);
  }
  return sum / n_draws;
}

TEST_CASE("sampler statistics: mirostat reaches its target surprise on a long run",
          "[sampler][statistics]") {
  const int version = GENERATE(1, 2);
  const double target = GENERATE(1.5, 3.0, 4.5);
  CAPTURE(version, target);
  REQUIRE(mean_surprise(version, target, 4000) == Approx(target).margin(0.03));
}

}  // namespace
}  // namespace haikuda::test
