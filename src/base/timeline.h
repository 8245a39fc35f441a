// When the phases of a run began and ended, for -v. Phases of several threads overlap. Never
// allocates, never fails.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

namespace haikuda {

class Timeline {
 public:
  using Clock = std::chrono::steady_clock;
  struct Span {
    const char* name;
    double begin_s, end_s;  // since the timeline was made
    std::uint64_t bytes;    // that were moved; 0 where it is not about bytes
  };

  // `name` is a literal. Safe from several threads. What does not fit is dropped.
  void add(const char* name,
           Clock::time_point begin,
           Clock::time_point end,
           std::uint64_t bytes = 0) noexcept {
    const std::lock_guard lock(mutex_);
    if (n_ < spans_.size()) spans_[n_++] = {name, seconds(begin), seconds(end), bytes};
  }
  // In the order in which they began.
  std::vector<Span> spans() const;

 private:
  double seconds(Clock::time_point at) const {
    return std::chrono::duration<double>(at - start_).count();
  }

  Clock::time_point start_ = Clock::now();
  mutable std::mutex mutex_;
  std::array<Span, 32> spans_{};
  std::size_t n_ = 0;
};

// A phase that ends with its scope. No timeline: nothing happens.
class Phase {
 public:
  Phase(Timeline* timeline, const char* name) : timeline_(timeline), name_(name) {}
  ~Phase() {
    if (timeline_ != nullptr) timeline_->add(name_, begin_, Timeline::Clock::now());
  }
  Phase(const Phase&) = delete;
  Phase& operator=(const Phase&) = delete;

 private:
  Timeline* timeline_;
  const char* name_;
  Timeline::Clock::time_point begin_ = Timeline::Clock::now();
};

}  // namespace haikuda
