// The CUDA backend as the rest of the program sees it. No CUDA type appears here; a build without
// CUDA links src/no_cuda.cpp in its place.
#pragma once

#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/timeline.h"
#include "infer/backend.h"

namespace haikuda {

// Tokens of a prompt computed at once, where the types of the model's matrices are multiplied in
// half: others are cut smaller.
constexpr int kCudaChunk = 2048;

struct CudaDevice {
  int index = 0;
  std::string name;
  int compute_major = 0, compute_minor = 0;
  std::size_t total_bytes = 0, free_bytes = 0;
};

// Whether this executable was built with CUDA.
bool built_with_cuda();
// Usable devices; empty, with `reason` set to a sentence, when there are none (no driver, too old,
// none visible). Creates a context on each.
std::vector<CudaDevice> find_cuda_devices(std::string& reason);

// One device on its way to be usable: its context, which takes a third of a second to create, is
// created on a thread of its own while the caller reads the model.
class CudaStart {
 public:
  // Returns at once. `timeline` outlives this.
  CudaStart(int device_index, Timeline& timeline);
  struct Found {
    std::optional<CudaDevice> device;
    std::string reason;  // a sentence, where there is no device
  };
  // Waits.
  const Found& wait() const { return found_.get(); }
  // Whether this process has a context or may be about to.
  bool may_hold_context() const;

 private:
  std::shared_future<Found> found_;  // its destructor waits
};

// Uploads the weights of `model`, which outlives the backend. Throws Error(no_gpu) when the device
// cannot be used, Error(out_of_memory) with the sizes when it does not fit.
std::unique_ptr<Backend> make_cuda_backend(const Model& model, const BackendOptions& options);
// The largest n_ctx whose cache fits on the device beside the weights; 0 when not even the weights
// do.
int max_cuda_context(const Model& model, const CudaDevice& device);
// Bytes a second that a kernel which does nothing else reads from the device's memory, in buffers
// far larger than its cache. Takes about 0.1 s and, for that time, at most 4 GiB of free memory.
double measure_cuda_read_bandwidth(int device_index);

}  // namespace haikuda
