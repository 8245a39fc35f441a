// The line on a terminal while a model loads.
#include "app/load_progress.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>

#include "support/catch.h"

namespace haikuda::test {
namespace {

// A pseudo-terminal in the place of stderr.
class StderrTerminal {
 public:
  StderrTerminal() : before_(::dup(STDERR_FILENO)), ours_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    REQUIRE((ours_ >= 0 && ::grantpt(ours_) == 0 && ::unlockpt(ours_) == 0));
    const int theirs = ::open(::ptsname(ours_), O_RDWR | O_NOCTTY);
    REQUIRE((theirs >= 0 && ::dup2(theirs, STDERR_FILENO) >= 0));
    ::close(theirs);
    ::setenv("TERM", "xterm", 1);
    ::unsetenv("NO_COLOR");
  }
  ~StderrTerminal() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    ::close(ours_);
  }
  StderrTerminal(const StderrTerminal&) = delete;
  StderrTerminal& operator=(const StderrTerminal&) = delete;

  // What is shown within the time, waiting for no more once there is something.
  std::string shown(int milliseconds) const {
    pollfd descriptor{ours_, POLLIN, 0};
    std::string text;
    while (::poll(&descriptor, 1, text.empty() ? milliseconds : 0) == 1) {
      char buffer[4096];
      const ssize_t n = ::read(ours_, buffer, sizeof buffer);
      if (n <= 0) break;
      text.append(buffer, static_cast<std::size_t>(n));
    }
    return text;
  }

 private:
  int before_, ours_;
};

constexpr int kLong = 60'000;

TEST_CASE("load progress: a line that is removed, after half a second", "[app]") {
  const StderrTerminal terminal;
  const auto start = std::chrono::steady_clock::now();
  {
    const LoadProgress progress("a\x1b model.gguf", true);
    const std::string first = terminal.shown(kLong);
    CHECK(std::chrono::steady_clock::now() - start >= std::chrono::milliseconds(500));
    CHECK_THAT(first, contains_text("loading a\\x1b model.gguf, 0."));
    CHECK_THAT(first, contains_text("\r["));
    CHECK_THAT(terminal.shown(kLong), contains_text("loading"));
  }
  const std::string rest = terminal.shown(kLong);
  CHECK(rest.substr(rest.size() - 4) == "\r\x1b[K");
}

TEST_CASE("load progress: nothing for a short time, or where it is not wanted", "[app]") {
  const StderrTerminal terminal;
  { const LoadProgress progress("model.gguf", true); }
  CHECK(terminal.shown(0).empty());
  const char* why = GENERATE("quiet", "TERM", "NO_COLOR");
  if (why == std::string("TERM")) ::setenv("TERM", "dumb", 1);
  if (why == std::string("NO_COLOR")) ::setenv("NO_COLOR", "1", 1);
  {
    const LoadProgress progress("model.gguf", why != std::string("quiet"));
    CHECK(terminal.shown(700).empty());
  }
  CHECK(terminal.shown(0).empty());
  ::unsetenv("NO_COLOR");
}

}  // namespace
}  // namespace haikuda::test
