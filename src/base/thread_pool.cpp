#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include "base/error.h"

namespace haikuda {
namespace {

// Operations of one token follow each other within microseconds: spin that long before sleeping.
constexpr int kSpins = 4000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

}  // namespace

int usable_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

ThreadPool::ThreadPool(int n_threads) {
  const int n = n_threads > 0 ? n_threads : usable_processors();
  workers_.reserve(static_cast<std::size_t>(n - 1));
  try {
    for (int i = 1; i < n; ++i) workers_.emplace_back([this] { worker_loop(); });
  } catch (const std::system_error& e) {
    stop();
    throw Error(ExitCode::out_of_memory, fmt::format("cannot start thread {} of {}: {}; try -t 1",
                                                     workers_.size() + 2, n, e.code().message()));
  } catch (...) {
    stop();  // a thread that runs must not be destroyed
    throw;
  }
}

ThreadPool::~ThreadPool() {
  stop();
}

void ThreadPool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : workers_) t.join();
}

void ThreadPool::parallel_for(std::int64_t n,
                              std::int64_t grain,
                              const std::function<void(std::int64_t, std::int64_t)>& work) {
  if (workers_.empty() || n <= grain) {
    if (n > 0) work(0, n);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    work_ = &work;
    n_ = n;
    grain_ = std::max<std::int64_t>(1, grain);
    next_ = 0;
    error_ = nullptr;
    is_open_ = true;
    ++job_;
  }
  wake_.notify_all();
  run_ranges();
  {
    const std::lock_guard lock(mutex_);
    is_open_ = false;  // who has not woken by now is not waited for
  }
  wait_until_idle();
  if (error_) std::rethrow_exception(error_);
}

// Spins, then sleeps.
void ThreadPool::wait_until_idle() {
  for (int spin = 0; spin < kSpins && n_busy_.load(std::memory_order_acquire) > 0; ++spin) relax();
  for (int n = n_busy_.load(std::memory_order_acquire); n > 0;
       n = n_busy_.load(std::memory_order_acquire))
    n_busy_.wait(n);
}

void ThreadPool::run_ranges() {
  try {
    for (;;) {
      const std::int64_t begin = next_.fetch_add(grain_);
      if (begin >= n_) return;
      (*work_)(begin, std::min(n_, begin + grain_));
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void ThreadPool::worker_loop() {
  std::uint64_t done = 0;
  for (;;) {
    for (int spin = 0; spin < kSpins && job_.load(std::memory_order_acquire) == done && !stopping_;
         ++spin)
      relax();
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || job_ != done; });
      if (stopping_) return;
      done = job_;
      if (!is_open_) continue;
      ++n_busy_;
    }
    run_ranges();
    if (n_busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) n_busy_.notify_one();
  }
}

}  // namespace haikuda
