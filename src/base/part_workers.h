// Threads that work off numbered parts while their owner does something else. For the rows of one
// operation at a time there is thread_pool.h.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

namespace haikuda {

// Hands out the numbers 0 … n_parts - 1, each once and in order, to whichever thread asks.
class PartQueue {
 public:
  explicit PartQueue(std::size_t n_parts) : n_parts_(n_parts) {}
  // None when all are taken, or after stop().
  std::optional<std::size_t> next() {
    if (stopped_) return std::nullopt;
    const std::size_t part = next_++;
    return part < n_parts_ ? std::optional(part) : std::nullopt;
  }
  void stop() { stopped_ = true; }

 private:
  std::size_t n_parts_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> stopped_{false};
};

class PartWorkers {
 public:
  // What a thread does, once: whatever it needs for itself, then parts as long as there are any.
  using Work = std::function<void(PartQueue& parts, int worker)>;

  // At most n_threads, and no more than there are parts; fewer where the system has no more to
  // give. Throws Error(out_of_memory) when it has not one.
  PartWorkers(std::size_t n_parts, int n_threads, Work work);
  // Waits for the threads, which finish the parts they are at and take no others.
  ~PartWorkers();
  PartWorkers(const PartWorkers&) = delete;
  PartWorkers& operator=(const PartWorkers&) = delete;

  // Until all parts are done. Rethrows the first exception of a thread: then no part was begun
  // after it, and some were never done.
  void wait();

 private:
  void run(int worker) noexcept;
  void join();

  PartQueue parts_;
  Work work_;
  std::mutex mutex_;
  std::exception_ptr error_;  // guarded by mutex_
  std::vector<std::thread> threads_;
};

}  // namespace haikuda
