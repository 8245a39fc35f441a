// Threads that share out the rows of one operation at a time.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace haikuda {

// Processors this process may use.
int usable_processors();

class ThreadPool {
 public:
  // n_threads counts the caller; 0 means one for each processor this process may use. Throws
  // Error(out_of_memory) when the system has no more threads to give.
  explicit ThreadPool(int n_threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }
  // Calls work(begin, end) on ranges that cover [0, n), each at most `grain` long, from all
  // threads; returns when all are done. The first exception of any thread is rethrown here.
  void parallel_for(std::int64_t n,
                    std::int64_t grain,
                    const std::function<void(std::int64_t, std::int64_t)>& work);

 private:
  void worker_loop();
  void stop();
  void run_ranges();
  void wait_until_idle();

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<std::uint64_t> job_{0};  // number of the current job
  std::atomic<int> n_busy_{0};         // workers that have begun it and not finished
  bool is_open_ = false;               // whether a worker may still begin it; guarded by mutex_
  std::atomic<bool> stopping_{false};
  const std::function<void(std::int64_t, std::int64_t)>* work_ = nullptr;
  std::int64_t n_ = 0, grain_ = 1;
  std::atomic<std::int64_t> next_{0};
  std::exception_ptr error_;  // guarded by mutex_
};

}  // namespace haikuda
