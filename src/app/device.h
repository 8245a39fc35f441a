// Chooses the device and loads the model onto it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "app/options.h"
#include "app/process.h"
#include "infer/backend.h"

namespace haikuda {

// Where a model is to run, before anything is allocated there.
struct Placement {
  std::optional<int> cuda_device;  // none: the CPU
  std::string note;                // why it is not a GPU, when one was looked for
  int n_ctx_max = 0;               // the largest context that fits; 0: not even the weights do
  int n_ctx = 0;                   // options.n_ctx, or the model's own as far as it fits
  std::optional<std::uint64_t> free_bytes;  // of a GPU
  std::string gpu_name;

  // Bytes of an element of the KV cache: F16 on a GPU, F32 on the CPU.
  int kv_elem_bytes() const { return cuda_device ? 2 : 4; }
  // The CPU rounds what it caches as a GPU does, whose run it is compared with.
  bool half_cache = false;
  bool fits() const { return n_ctx >= 1 && n_ctx <= n_ctx_max; }
};

// Waits for the GPU that `process` has started for these options. Throws Error(no_gpu) when one was
// asked for and cannot be used, Error(usage) for a part of the layers on one.
Placement place_model(const Model& model, const ModelOptions& options, Process& process);
// Error(out_of_memory) with the largest context that fits.
void check_fits(const Placement& placement);
// `process` is told of what loading does.
std::unique_ptr<Backend> make_backend(const Model& model,
                                      const ModelOptions& options,
                                      const Placement& placement,
                                      Process& process,
                                      const FirstUse& first = {});

}  // namespace haikuda
