// Runs Catch2, version 2 or 3, and gives the exit status of a test executable: 0, 1 when something
// failed, 4 when all tests that ran were skipped. Catch2's own is the number of assertions that
// failed, which may be 4. For the file with main() alone.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

namespace haikuda::test {

constexpr int kSkipped = 4;

// Written by the listener, which Catch2 creates and owns.
inline std::size_t n_tests = 0, n_skipped = 0, n_failed = 0;

#if __has_include(<catch2/catch_all.hpp>)
class OutcomeListener : public Catch::EventListenerBase {
 public:
  using EventListenerBase::EventListenerBase;

  void testRunEnded(const Catch::TestRunStats& stats) override {
    n_tests = stats.totals.testCases.total();
    n_skipped = stats.totals.testCases.skipped;
    n_failed = stats.totals.assertions.failed + stats.totals.testCases.failed;
  }
};
#else
// Version 2 knows no skipped tests: the warnings of HAIKUDA_SKIP are counted.
class OutcomeListener : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  bool assertionEnded(const Catch::AssertionStats& stats) override {
    const Catch::AssertionResult& result = stats.assertionResult;
    if (result.getResultType() == Catch::ResultWas::Warning &&
        result.getMessage().rfind("skipped: ", 0) == 0)
      ++n_skipped;
    return true;
  }
  void testRunEnded(const Catch::TestRunStats& stats) override {
    n_tests = stats.totals.testCases.total();
    n_failed = stats.totals.assertions.failed + stats.totals.testCases.failed;
  }
};
#endif
CATCH_REGISTER_LISTENER(OutcomeListener)

inline int run_session(int argc, char** argv) {
  const int status = Catch::Session().run(argc, argv);
  if (n_failed > 0) return 1;
  if (n_tests > 0 && n_skipped == n_tests) return kSkipped;
  return status == 0 ? 0 : 1;  // not 0: Catch2 refused its arguments
}

}  // namespace haikuda::test
