// A line on stderr while a model loads, when stderr is a terminal and it takes long enough to be
// noticed.
#pragma once

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace haikuda {

class LoadProgress {
 public:
  // `what` is shown. `wanted` false: nothing ever is.
  LoadProgress(const std::string& what, bool wanted);
  // Removes the line.
  ~LoadProgress();
  LoadProgress(const LoadProgress&) = delete;
  LoadProgress& operator=(const LoadProgress&) = delete;

 private:
  void show();

  std::string what_;
  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace haikuda
