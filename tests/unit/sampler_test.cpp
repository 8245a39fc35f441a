// The chain as a whole: order, seeds, streams, greedy choice. Single samplers:
// sampler_steps_test.cpp.
#include "infer/sampler.h"

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "base/error.h"
#include "infer/random.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

// Nothing but the draw.
SamplerOptions plain(double temperature = 1) {
  return {.temperature = temperature, .top_k = 0, .top_p = 1, .min_p = 0, .seed = 7};
}

// The tokens that come out of many draws.
std::set<int> drawn(const SamplerOptions& options,
                    const std::vector<float>& logits,
                    int n_draws = 3000) {
  Sampler sampler(options);
  std::set<int> out;
  for (int i = 0; i < n_draws; ++i) {
    sampler.reset(static_cast<std::uint64_t>(i));
    out.insert(sampler.sample(logits, {}));
  }
  return out;
}

std::vector<int> generate(const SamplerOptions& options, const std::vector<float>& logits, int n) {
  Sampler sampler(options);
  std::vector<int> history;
  history.reserve(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) history.push_back(sampler.sample(logits, history));
  return history;
}

const std::vector<float> kLogits = {std::log(0.5f), std::log(0.3f), std::log(0.15f),
                                    std::log(0.05f)};

TEST_CASE("sampler: temperature zero takes the greatest logit, the lowest id of equals",
          "[sampler]") {
  Sampler greedy({.temperature = 0});
  REQUIRE(greedy.sample(std::vector<float>{0, 2, 2, 1}, {}) == 1);
  Sampler mirostat({.temperature = 0, .mirostat = 2});
  REQUIRE(mirostat.sample(std::vector<float>{0, 2, 2, 1}, {}) == 1);
  Sampler without_temperature({.temperature = 0, .samplers = {SamplerKind::top_k}});
  REQUIRE(without_temperature.sample(std::vector<float>{0, 2, 2, 1}, {}) == 1);
}

TEST_CASE("sampler: next to zero the temperature does the same", "[sampler]") {
  const double t = GENERATE(1e-3, 1e-9, 1e-12, 1e-300);
  REQUIRE(drawn(plain(t), kLogits) == std::set<int>{0});
}

TEST_CASE("sampler: top-k of one takes the greatest logit at any temperature", "[sampler]") {
  SamplerOptions options = plain(50);
  options.top_k = 1;
  REQUIRE(drawn(options, kLogits) == std::set<int>{0});
}

TEST_CASE("sampler: what is off keeps all tokens", "[sampler]") {
  REQUIRE(drawn(plain(), kLogits).size() == kLogits.size());
}

TEST_CASE("sampler: the order is that of the list", "[sampler]") {
  SamplerOptions options = plain(3);
  options.top_p = 0.7;
  // At temperature 1, 0.5 + 0.3 reach 0.7; at 3, it takes three.
  options.samplers = {SamplerKind::top_p, SamplerKind::temperature};
  REQUIRE(drawn(options, kLogits) == std::set<int>{0, 1});
  options.samplers = {SamplerKind::temperature, SamplerKind::top_p};
  REQUIRE(drawn(options, kLogits) == std::set<int>{0, 1, 2});
  options.samplers = {SamplerKind::temperature};
  REQUIRE(drawn(options, kLogits).size() == 4);
}

TEST_CASE("sampler: penalties come before top-k by default and after it on demand", "[sampler]") {
  SamplerOptions options{.temperature = 0, .top_k = 1, .repeat_penalty = 10};
  const std::vector<float> logits = {3, 2};
  const std::vector<int> history = {0};
  REQUIRE(Sampler(options).sample(logits, history) == 1);
  options.samplers = {SamplerKind::top_k, SamplerKind::penalties, SamplerKind::temperature};
  REQUIRE(Sampler(options).sample(logits, history) == 0);
}

TEST_CASE("sampler: the repeat penalty lowers recent tokens, within its window", "[sampler]") {
  Sampler sampler({.temperature = 0, .repeat_penalty = 2, .repeat_last_n = 2});
  const std::vector<float> logits = {3, 2, -1};
  REQUIRE(sampler.sample(logits, std::vector<int>{0, 2}) == 1);     // 3 / 2 < 2
  REQUIRE(sampler.sample(logits, std::vector<int>{0, 2, 2}) == 0);  // 0 is out of the window
  REQUIRE(sampler.sample(std::vector<float>{-1, -1.5}, std::vector<int>{0}) == 1);  // multiplied
  Sampler all({.temperature = 0, .repeat_penalty = 2, .repeat_last_n = -1});
  REQUIRE(all.sample(logits, std::vector<int>{0, 2, 2}) == 1);
}

TEST_CASE("sampler: logit bias makes tokens certain or impossible", "[sampler]") {
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  SamplerOptions options = plain();
  options.logit_bias = {{0, kNever}, {2, kNever}, {2, 100}};
  REQUIRE(drawn(options, kLogits) == std::set<int>{1, 3});
  options.logit_bias = {{3, 50}};
  REQUIRE(drawn(options, kLogits) == std::set<int>{3});
  options.temperature = 0;
  options.logit_bias = {{0, -1}, {0, -1}};  // both count
  REQUIRE(Sampler(options).sample(kLogits, {}) == 1);
  options.logit_bias = {{0, kNever}, {1, kNever}, {2, kNever}, {3, kNever}};
  Sampler nothing_left(options);
  const Error error = error_of([&] { nothing_left.sample(kLogits, {}); });
  REQUIRE(error.code() == ExitCode::usage);
}

TEST_CASE("sampler: XTC acts as often as its probability says, apart from the draw", "[sampler]") {
  SamplerOptions options = plain();
  options.xtc_threshold = 0.2;
  options.xtc_probability = 1;
  REQUIRE(drawn(options, kLogits) == std::set<int>{1, 2, 3});
  options.xtc_probability = 0;
  REQUIRE(drawn(options, kLogits).size() == 4);
  options.xtc_probability = 1;
  options.xtc_threshold = 0.51;  // off
  REQUIRE(drawn(options, kLogits).size() == 4);
}

TEST_CASE("sampler: a dynamic temperature is low when the model is sure", "[sampler]") {
  SamplerOptions options = plain(1);
  options.dynatemp_range = 1;
  const std::vector<float> sure = {8, 0, 0, 0};  // at temperature 1 the others have 0.1 %
  REQUIRE(drawn(options, sure) == std::set<int>{0});
  options.temperature = 0;  // then the range counts alone
  REQUIRE(drawn(options, std::vector<float>{1, 1, 1, 1}).size() == 4);
}

TEST_CASE("sampler: the same seed gives the same draws, another one does not", "[sampler]") {
  const auto logits = random_normal(1000, 1);
  SamplerOptions options = plain(1.5);
  options.xtc_probability = 0.5;
  const std::vector<int> first = generate(options, logits, 50);
  REQUIRE(generate(options, logits, 50) == first);
  options.seed = 8;
  REQUIRE(generate(options, logits, 50) != first);
}

TEST_CASE("sampler: a draw depends on the position, not on what was drawn before", "[sampler]") {
  const auto logits = random_normal(1000, 1);
  const std::vector<int> history(20, 3);
  Sampler used(plain()), fresh(plain());
  for (int i = 0; i < 10; ++i)
    used.sample(logits, std::span(history).first(static_cast<std::size_t>(i)));
  REQUIRE(used.sample(logits, history) == fresh.sample(logits, history));
}

TEST_CASE("sampler: a reset sampler is as new, mirostat too", "[sampler]") {
  SamplerOptions options = plain();
  options.mirostat = GENERATE(0, 1, 2);
  CAPTURE(options.mirostat);
  const auto logits = random_normal(200, 1, 3);
  const auto run = [&](Sampler& sampler) {
    std::vector<int> history;
    history.reserve(200);
    for (int i = 0; i < 200; ++i) history.push_back(sampler.sample(logits, history));
    return history;
  };
  Sampler sampler(options);
  const std::vector<int> first = run(sampler);
  sampler.reset(options.seed);
  REQUIRE(run(sampler) == first);
  sampler.reset(options.seed + 1);
  REQUIRE(run(sampler) != first);
}

TEST_CASE("sampler: refuses options that do not make sense", "[sampler]") {
  REQUIRE(error_of([] { Sampler({.top_p = 1.5}); }).code() == ExitCode::usage);
}

TEST_CASE("uniform: lies in [0, 1) and has the mean and variance of a uniform draw", "[sampler]") {
  double mean = 0, square = 0;
  const int n = 100000;
  for (int i = 0; i < n; ++i) {
    const double u = uniform(42, static_cast<std::uint64_t>(i));
    REQUIRE((u >= 0 && u < 1));
    mean += u / n, square += u * u / n;
  }
  REQUIRE(mean == Approx(0.5).margin(0.005));
  REQUIRE(square - mean * mean == Approx(1.0 / 12).margin(0.002));
}

TEST_CASE("uniform: seeds, counters and streams are not correlated", "[sampler]") {
  const int n = 100000;
  double seeds = 0, counters = 0, streams = 0;  // covariances times 12
  for (int i = 0; i < n; ++i) {
    const auto c = static_cast<std::uint64_t>(i);
    const double u = uniform(1, c) - 0.5;
    seeds += 12.0 / n * u * (uniform(2, c) - 0.5);
    counters += 12.0 / n * u * (uniform(1, c + 1) - 0.5);
    streams += 12.0 / n * u * (uniform(1, c, RandomStream::xtc) - 0.5);
  }
  REQUIRE(std::abs(seeds) < 0.015);  // 4.7 standard deviations
  REQUIRE(std::abs(counters) < 0.015);
  REQUIRE(std::abs(streams) < 0.015);
}

}  // namespace
}  // namespace haikuda::test
