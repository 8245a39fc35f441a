// Random options on random and hostile logits: every answer is a token of the vocabulary. For a
// build with sanitizers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "infer/sampler.h"
#include "infer/sampler_logprobs.h"
#include "support/catch.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double pick(Random& random, const std::vector<double>& values) {
  return values[static_cast<std::size_t>(random.integer(0, static_cast<int>(values.size()) - 1))];
}

float hostile_logit(Random& random) {
  constexpr float kMost = std::numeric_limits<float>::max();
  const std::vector<double> values = {kInfinity, -kInfinity, std::nan(""), kMost, -kMost,
                                      0,         -0.0,       1e-45,        1};
  return static_cast<float>(pick(random, values));
}

std::vector<float> any_logits(Random& random, std::size_t n) {
  const int kind = random.integer(0, 3);
  std::vector<float> logits(n, hostile_logit(random));  // kind 0: all equal
  for (float& l : logits) {
    if (kind == 1) l = 10 * random.normal();
    if (kind == 2) l = hostile_logit(random);
    if (kind == 3)
      l = random.integer(0, 9) == 0 ? hostile_logit(random)
                                    : static_cast<float>(random.integer(-3, 3));
  }
  return logits;
}

std::vector<SamplerKind> any_order(Random& random) {
  std::vector<SamplerKind> samplers = SamplerOptions().samplers;
  for (std::size_t i = samplers.size() - 1; i > 0; --i)
    std::swap(samplers[i],
              samplers[static_cast<std::size_t>(random.integer(0, static_cast<int>(i)))]);
  return samplers;
}

// From all corners of what validate() lets pass.
SamplerOptions any_options(Random& random) {
  const auto or_else = [&](double usual, const std::vector<double>& values) {
    return random.integer(0, 1) == 0 ? usual : pick(random, values);
  };
  const auto integer_or = [&](int usual, const std::vector<double>& values) {
    return static_cast<int>(or_else(usual, values));
  };
  SamplerOptions o;
  o.temperature = or_else(0.8, {-100, 0, 1e-300, 1e-11, 1e-9, 1, 100});
  o.top_k = integer_or(40, {-5, 0, 1, 2, 2e9});
  o.top_p = or_else(0.95, {0, 1e-300, 0.5, 1});
  o.min_p = or_else(0.05, {0, 1e-300, 1});
  o.min_keep = integer_or(0, {1, 3, 2e9});
  o.mirostat = random.integer(0, 3) == 0 ? random.integer(1, 2) : 0;
  o.mirostat_ent = or_else(5, {0, 100});
  o.mirostat_lr = or_else(0.1, {0, 10});
  for (int i = random.integer(0, 3); i > 1; --i)
    o.logit_bias.push_back({random.integer(0, 40), pick(random, {-kInfinity, -1e6, 1e6, 1})});
  o.seed = random.bits();
  if (o.mirostat != 0) return o;
  o.samplers = any_order(random);
  o.dynatemp_range = or_else(0, {1e-12, 0.5, 100});
  o.dynatemp_exponent = or_else(1, {0, 100});
  o.typical_p = or_else(1, {0, 0.5});
  o.top_n_sigma = or_else(-1, {-1e6, 1e-300, 1, 1e6});
  o.xtc_probability = or_else(0, {0.5, 1});
  o.xtc_threshold = or_else(0.1, {0, 0.5, 1});
  o.repeat_penalty = or_else(1, {0.01, 1.3, 100});
  o.repeat_last_n = integer_or(64, {-1, 0, 1, 2e9});
  o.frequency_penalty = or_else(0, {-100, 0.1, 100});
  o.presence_penalty = or_else(0, {-100, 0.1, 100});
  o.dry_multiplier = or_else(0, {0.8, 1000});
  o.dry_base = or_else(1.75, {1, 100});
  o.dry_allowed_length = integer_or(2, {0, 1, 2e9});
  o.dry_penalty_last_n = integer_or(64, {-1, 0, 1, 2e9});
  for (int i = random.integer(0, 3); i > 0; --i) {
    std::vector<int> breaker(static_cast<std::size_t>(random.integer(1, 3)));
    for (int& id : breaker) id = random.integer(0, 5);
    o.dry_breakers.push_back(breaker);
  }
  return o;
}

std::vector<int> any_history(Random& random) {
  std::vector<int> history(static_cast<std::size_t>(random.integer(0, 200)));
  const int most = random.integer(0, 50);
  for (int& id : history) id = random.integer(-1, most);  // some are not in the vocabulary
  return history;
}

bool is_any_left(const SamplerOptions& options, std::size_t n_vocab) {
  std::vector<bool> banned(n_vocab);
  for (const LogitBias& b : options.logit_bias)
    if (std::isinf(b.bias) && static_cast<std::size_t>(b.id) < n_vocab)
      banned[static_cast<std::size_t>(b.id)] = true;
  return std::find(banned.begin(), banned.end(), false) != banned.end();
}

bool are_finite(const std::vector<float>& logits) {
  return std::all_of(logits.begin(), logits.end(), [](float l) { return std::isfinite(l); });
}

TEST_CASE("sampler: answers with a token whatever the logits and options", "[sampler][fuzz]") {
  Random random(20240607);
  for (int i = 0; i < 20000; ++i) {
    CAPTURE(i);
    const SamplerOptions options = any_options(random);
    const auto n = static_cast<std::size_t>(random.integer(0, 9) == 0 ? random.integer(1, 3000)
                                                                      : random.integer(1, 60));
    const std::vector<float> logits = any_logits(random, n);
    std::vector<int> history = any_history(random);
    if (!is_any_left(options, n)) continue;
    Sampler sampler(options);
    for (int step = 0; step < 3; ++step) {
      const int token = sampler.sample(logits, history);
      REQUIRE((token >= 0 && static_cast<std::size_t>(token) < n));
      if (options.is_argmax() && are_finite(logits))
        REQUIRE(logits[static_cast<std::size_t>(token)] ==
                *std::max_element(logits.begin(), logits.end()));
      history.push_back(token);
    }
  }
}

TEST_CASE("logprobs: finite and ordered whatever the logits", "[sampler][fuzz]") {
  Random random(7);
  for (int i = 0; i < 2000; ++i) {
    const auto n = static_cast<std::size_t>(random.integer(1, 60));
    const auto top = top_logprobs(any_logits(random, n), random.integer(-1, 70));
    for (std::size_t k = 0; k < top.size(); ++k) {
      REQUIRE((std::isfinite(top[k].logprob) && top[k].logprob <= 0));
      if (k > 0) REQUIRE(top[k].logprob <= top[k - 1].logprob);
    }
  }
}

}  // namespace
}  // namespace haikuda::test
