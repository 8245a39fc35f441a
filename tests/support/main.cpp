// main() of the test executables, with Catch2 3 and 2. The exit status is 4 when all tests that ran
// were skipped: version 3 does that by itself, for version 2 the warnings of HAIKUDA_SKIP are
// counted.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>

int main(int argc, char** argv) {
  return Catch::Session().run(argc, argv);
}
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>

namespace {

constexpr int kAllSkipped = 4;
std::size_t n_tests = 0, n_skipped = 0;  // written by the listener, which Catch2 creates and owns

class SkipListener : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;

  bool assertionEnded(const Catch::AssertionStats& stats) override {
    const Catch::AssertionResult& result = stats.assertionResult;
    if (result.getResultType() == Catch::ResultWas::Warning &&
        result.getMessage().rfind("skipped: ", 0) == 0)
      ++n_skipped;
    return true;
  }
  void testCaseEnded(const Catch::TestCaseStats&) override { ++n_tests; }
};
CATCH_REGISTER_LISTENER(SkipListener)

}  // namespace

int main(int argc, char** argv) {
  const int status = Catch::Session().run(argc, argv);
  return status == 0 && n_tests > 0 && n_skipped == n_tests ? kAllSkipped : status;
}
#endif
