#include "app/bench/bench_measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "infer/generator.h"
#include "infer/random.h"

namespace haikuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kStable = 0.02;
constexpr int kMostWarmUps = 10;
constexpr double kLongestWarmUp_s = 5;

double seconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

bool never() {
  return false;
}

// Greedy, and exactly n tokens whatever the model would like.
GenerateOptions exactly(int n, int prefill_part) {
  GenerateOptions options;
  options.n_predict = n;
  options.sampler.temperature = 0;
  options.prefill_part = prefill_part;
  options.takes_eos = true;
  return options;
}

std::string now_utc() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

}  // namespace

WarmUp warm_up(const std::function<double()>& run) {
  WarmUp done;
  double last = 0, sum = 0;
  while (done.n_runs < kMostWarmUps && sum < kLongestWarmUp_s && !done.is_stable) {
    const double now = run();
    ++done.n_runs;
    sum += now;
    done.is_stable = done.n_runs > 1 && std::abs(now - last) <= kStable * last;
    last = now;
  }
  return done;
}

std::uint64_t hash_tokens(const std::vector<int>& ids) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const int id : ids)
    for (int byte = 0; byte < 4; ++byte)
      hash = (hash ^ (static_cast<std::uint32_t>(id) >> (8 * byte) & 0xffu)) * 0x100000001b3u;
  return hash;
}

std::vector<int> fixed_tokens(int n, int n_vocab) {
  std::vector<int> ids;
  ids.reserve(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i)
    ids.push_back(static_cast<int>(uniform(1, static_cast<std::uint64_t>(i)) * n_vocab));
  return ids;
}

BenchRunner::BenchRunner(Backend& backend,
                         const Tokenizer& tokenizer,
                         int prefill_part,
                         std::string text)
    : backend_(backend),
      tokenizer_(tokenizer),
      prefill_part_(prefill_part),
      text_(std::move(text)) {}

std::vector<int> BenchRunner::tokens_of(const BenchTest& test) const {
  if (test.e2e) return {};
  return fixed_tokens(test.n_positions() - test.n_gen, tokenizer_.vocabulary().size());
}

// All that the first repetition finds in the cache. A generation alone needs one token before it,
// whose logits belong to the part that is not timed.
void BenchRunner::fill_cache(const BenchTest& test, const std::vector<int>& ids) {
  backend_.truncate(0);
  const auto n = test.n_prompt > 0 ? static_cast<std::size_t>(test.n_depth) : ids.size();
  if (n > 0) backend_.append(std::span(ids).first(n));
}

BenchTimes BenchRunner::repeat(const BenchTest& test, std::vector<int>& ids) {
  auto start = Clock::now();
  if (test.e2e) ids = tokenizer_.encode(text_, {.add_special = true, .parse_special = true});
  const int n_ids = static_cast<int>(ids.size());
  backend_.truncate(test.n_prompt > 0 ? test.n_depth : n_ids - 1);
  Generator generator(backend_, tokenizer_, ids);
  generator.prefill(prefill_part_, never);
  if (test.n_prompt == 0) start = Clock::now();
  BenchTimes times;
  if (test.n_gen > 0) {
    // One more than is decoded: the last one's logits are computed, and waited for, by choosing
    // from them.
    const auto run_start = Clock::now();
    const GenerateResult result =
        generator.run(exactly(test.n_gen + 1, prefill_part_), {[](std::string_view) {}, never});
    times.first_token_s = seconds(start, run_start) + result.token_s.front();
    for (std::size_t i = 1; i < result.token_s.size(); ++i)
      times.gaps_s.push_back(result.token_s[i] - result.token_s[i - 1]);
  }
  times.total_s = seconds(start, Clock::now());
  if (test.n_gen == 0) times.first_token_s = times.total_s;  // the prefill ends with an argmax
  return times;
}

BenchResult BenchRunner::measure(const BenchTest& test, int n_repetitions, bool with_warm_up) {
  BenchResult result;
  result.test = test;
  result.test_time = now_utc();
  std::vector<int> ids = tokens_of(test);
  fill_cache(test, ids);
  if (with_warm_up) result.warm_up = warm_up([&] { return repeat(test, ids).total_s; });
  for (int i = 0; i < n_repetitions; ++i) result.repetitions.push_back(repeat(test, ids));
  return result;
}

BenchTimes BenchRunner::run_once(const BenchTest& test) {
  std::vector<int> ids = tokens_of(test);
  fill_cache(test, ids);
  return repeat(test, ids);
}

std::vector<int> BenchRunner::greedy_tokens(int n) {
  backend_.truncate(0);
  const std::vector<int> ids = fixed_tokens(kGreedyPrompt, tokenizer_.vocabulary().size());
  Generator generator(backend_, tokenizer_, ids);
  generator.prefill(prefill_part_, never);
  return generator.run(exactly(n, prefill_part_), {[](std::string_view) {}, never}).tokens;
}

}  // namespace haikuda
