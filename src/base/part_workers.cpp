#include "base/part_workers.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "base/error.h"

namespace haikuda {

PartWorkers::PartWorkers(std::size_t n_parts, int n_threads, Work work)
    : parts_(n_parts), work_(std::move(work)) {
  const std::size_t n = std::min(n_parts, static_cast<std::size_t>(std::max(1, n_threads)));
  threads_.reserve(n);
  try {
    for (std::size_t i = 0; i < n; ++i)
      threads_.emplace_back([this, i] { run(static_cast<int>(i)); });
  } catch (const std::system_error& e) {
    if (threads_.empty())
      throw Error(ExitCode::out_of_memory,
                  fmt::format("cannot start a thread: {}", e.code().message()));
  } catch (...) {
    parts_.stop();
    join();  // a thread that runs must not be destroyed
    throw;
  }
}

PartWorkers::~PartWorkers() {
  parts_.stop();
  join();
}

void PartWorkers::wait() {
  join();
  const std::lock_guard lock(mutex_);
  if (error_) std::rethrow_exception(error_);
}

void PartWorkers::run(int worker) noexcept {
  try {
    work_(parts_, worker);
  } catch (...) {
    parts_.stop();
    const std::lock_guard lock(mutex_);
    if (!error_) error_ = std::current_exception();
  }
}

void PartWorkers::join() {
  for (std::thread& t : threads_)
    if (t.joinable()) t.join();
}

}  // namespace haikuda
