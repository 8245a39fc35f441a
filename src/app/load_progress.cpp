#include "app/load_progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "app/terminal.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr auto kPatience = std::chrono::milliseconds(500);
constexpr auto kTick = std::chrono::milliseconds(100);

}  // namespace

LoadProgress::LoadProgress(const std::string& what, bool wanted) : what_(printable(what, 60)) {
  if (!wanted || !may_use_escapes(STDERR_FILENO)) return;
  // A run needs no such line: what fails here ends it quietly, a thread must not throw.
  try {
    thread_ = std::thread([this] {
      try {
        show();
      } catch (const std::exception&) {
      }
    });
  } catch (const std::exception&) {
  }
}

LoadProgress::~LoadProgress() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  ended_.notify_one();
  thread_.join();
}

void LoadProgress::show() {
  constexpr int kWidth = 8;  // of the bar
  const auto start = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex_);
  const auto is_over = [&] { return is_over_; };
  if (ended_.wait_for(lock, kPatience, is_over)) return;
  for (int tick = 0;; ++tick) {
    const int at = tick % (2 * kWidth - 2), position = at < kWidth ? at : 2 * kWidth - 2 - at;
    std::string bar(kWidth, ' ');
    bar[static_cast<std::size_t>(position)] = '=';
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    tell(fmt::format("\r[{}] loading {}, {:.1f} s\x1b[K", bar, what_, seconds));
    if (ended_.wait_for(lock, kTick, is_over)) break;
  }
  tell("\r\x1b[K");
}

}  // namespace haikuda
