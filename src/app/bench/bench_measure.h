// Times the tests on a loaded model, the way users run it: every token is chosen and detokenized.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "app/bench/bench_test.h"
#include "infer/backend.h"
#include "text/tokenizer.h"

namespace haikuda {

// One repetition. Times in seconds.
struct BenchTimes {
  double total_s = 0;
  double first_token_s = 0;    // from the start to the first token's text
  std::vector<double> gaps_s;  // from each generated token to the next; without the first token
};

struct WarmUp {
  int n_runs = 0;
  bool is_stable = false;  // the last two differ by at most kStable
};

struct BenchResult {
  BenchTest test;
  std::string test_time;  // UTC, ISO 8601
  WarmUp warm_up;
  std::vector<BenchTimes> repetitions;
};

// Calls `run`, which returns its seconds, until it has settled, or has run 10 times or 5 seconds.
WarmUp warm_up(const std::function<double()>& run);

// FNV-1a of 64 bits over the ids, each as four bytes, the least first.
std::uint64_t hash_tokens(const std::vector<int>& ids);
// Spread over the vocabulary; the same numbers at every run, and each a part of a longer one's.
std::vector<int> fixed_tokens(int n, int n_vocab);

class BenchRunner {
 public:
  // All outlive this. `prefill_part`: as GenerateOptions. `text`: that of --e2e.
  BenchRunner(Backend& backend, const Tokenizer& tokenizer, int prefill_part, std::string text);

  BenchResult measure(const BenchTest& test, int n_repetitions, bool with_warm_up);
  // Once, from an empty cache; the first call shows what a device does only once.
  BenchTimes run_once(const BenchTest& test);
  // What follows a fixed prompt of kGreedyPrompt tokens.
  std::vector<int> greedy_tokens(int n);
  static constexpr int kGreedyPrompt = 8;

 private:
  BenchTimes repeat(const BenchTest& test, std::vector<int>& ids);
  void fill_cache(const BenchTest& test, const std::vector<int>& ids);
  std::vector<int> tokens_of(const BenchTest& test) const;

  Backend& backend_;
  const Tokenizer& tokenizer_;
  int prefill_part_;
  std::string text_;
};

}  // namespace haikuda
