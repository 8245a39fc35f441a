// What haikuda bench measures: the tests that its options stand for.
#pragma once

#include <string>
#include <vector>

#include "app/options.h"

namespace haikuda {

// At a context of n_depth tokens, a prompt of n_prompt tokens is computed and then n_gen tokens are
// generated. Not both counts are 0.
struct BenchTest {
  int n_prompt = 0, n_gen = 0, n_depth = 0;
  bool e2e = false;  // from a text, which is tokenized within the time; the depth is 0

  // Positions of the cache that it fills. The token chosen last is not computed.
  int n_positions() const { return n_depth + (n_prompt == 0 && n_depth == 0) + n_prompt + n_gen; }
  bool operator==(const BenchTest&) const = default;
};

// As llama-bench writes it: "pp512", "tg128", "pp512+tg128", with " @ d1024"; "e2e 10+128".
std::string test_name(const BenchTest& test);
// In llama-bench's order: at each depth prompts, generations, then both. `n_e2e`: tokens of the
// text of --e2e, 0 when there is none; with one there are no other tests. Throws Error(usage) when
// nothing is left to measure.
std::vector<BenchTest> list_tests(const BenchOptions& options, int n_e2e);

}  // namespace haikuda
