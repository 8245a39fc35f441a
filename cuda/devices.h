// The GPUs that can be seen.
#pragma once

#include "cuda/cuda_backend.h"

namespace haikuda::cuda {

// Makes the device the calling thread's; creates its context where there is none. Throws
// Error(no_gpu).
CudaDevice open_device(int index);

}  // namespace haikuda::cuda
