// Any arguments, separated by NUL: an Error of the command line, or a request that makes sense.
#include "app/options.h"

#include <cstdlib>
#include <vector>

#include "fuzz_target.h"

namespace haikuda::fuzz {
namespace {

// What the user's own machine sets shall not matter.
bool forget_configuration() {
  ::unsetenv("XDG_CONFIG_HOME");
  ::unsetenv("HAIKUDA_CONFIG");
  ::setenv("HOME", "/nonexistent", 1);
  return true;
}

void check(const Options& o) {
  require(o.n_ctx >= 0 && o.n_threads >= 0 && o.ubatch >= 0 && o.batch > 0,
          "counts are not negative");
  require(o.n_predict >= -2 && o.n_samples > 0 && o.device.index >= 0, "counts are in their range");
  require(o.timeout_s >= 0, "a time is not negative");
  validate(o.sampler);
}
void check(const PrintText& print) {
  require(!print.text.empty(), "there is something to print");
}
template <class Other>
void check(const Other&) {}

}  // namespace

void fuzz_options(Bytes bytes) {
  static const bool forgotten = forget_configuration();
  require(forgotten, "no configuration");
  std::string arguments(as_text(bytes));
  std::vector<const char*> argv = {"haikuda"};
  for (std::size_t begin = 0; begin < arguments.size() && argv.size() < 64;
       begin = arguments.find('\0', begin) + 1) {
    argv.push_back(arguments.data() + begin);
    if (arguments.find('\0', begin) == std::string::npos) break;
  }
  expect_result_or_error({ExitCode::usage, ExitCode::io}, [&] {
    std::visit([](const auto& request) { check(request); },
               parse_options(static_cast<int>(argv.size()), argv.data()));
  });
}

}  // namespace haikuda::fuzz
