// What a command leaves to main: all that is large and outlives its use. A process that holds a
// GPU's context ends without taking these apart, which may take a tenth of a second and which the
// system does anyway.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "app/options.h"
#include "base/timeline.h"
#include "cuda/cuda_backend.h"

namespace haikuda {

class Process {
 public:
  Process() = default;
  // The last one kept goes first.
  ~Process() {
    while (!kept_.empty()) kept_.pop_back();
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Where the options may lead to a GPU, its context is created from now on. To be called as early
  // as that is known.
  void start_device(const DeviceChoice& device) {
    if (device.kind != DeviceKind::cpu && built_with_cuda())
      cuda_ = std::make_unique<CudaStart>(device.index, timeline_);
  }
  // Null where no GPU may be used.
  const CudaStart* cuda() const { return cuda_.get(); }

  // Lives as long as this.
  template <class T>
  T& keep(std::unique_ptr<T> object) {
    std::shared_ptr<T> shared(std::move(object));
    kept_.push_back(shared);
    return *shared;
  }

  // Whether main may leave everything to the system. Without a GPU it does not, so that checkers of
  // memory see an orderly end.
  bool may_end_at_once() const { return cuda_ && cuda_->may_hold_context(); }

  Timeline& timeline() { return timeline_; }

 private:
  Timeline timeline_;
  std::unique_ptr<CudaStart> cuda_;
  std::vector<std::shared_ptr<void>> kept_;
};

}  // namespace haikuda
