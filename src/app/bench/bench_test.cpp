#include "app/bench/bench_test.h"

#include <fmt/format.h>

#include "base/error.h"

namespace haikuda {

std::string test_name(const BenchTest& test) {
  if (test.e2e) return fmt::format("e2e {}+{}", test.n_prompt, test.n_gen);
  std::string name;
  if (test.n_prompt > 0) name = fmt::format("pp{}", test.n_prompt);
  if (test.n_gen > 0) name += fmt::format("{}tg{}", name.empty() ? "" : "+", test.n_gen);
  return test.n_depth > 0 ? fmt::format("{} @ d{}", name, test.n_depth) : name;
}

std::vector<BenchTest> list_tests(const BenchOptions& options, int n_e2e) {
  std::vector<BenchTest> tests;
  const auto add = [&](const BenchTest& test) {
    if (test.n_prompt + test.n_gen > 0) tests.push_back(test);
  };
  if (n_e2e > 0) {
    for (const int n : options.n_gen)
      if (n > 0) add({n_e2e, n, 0, true});
  } else {
    for (const int depth : options.n_depth) {
      for (const int n : options.n_prompt) add({n, 0, depth});
      for (const int n : options.n_gen) add({0, n, depth});
      for (const auto& [n_prompt, n_gen] : options.prompt_gen) add({n_prompt, n_gen, depth});
    }
  }
  if (tests.empty())
    throw Error(ExitCode::usage,
                "bench: nothing to measure; -p, -n or -pg with more than 0 tokens");
  return tests;
}

}  // namespace haikuda
