// Kernels of a chain (programmatic dependent launch): the next one may start before this one has
// ended. From compute capability 9.0 on; before it kernels follow one another whole.
#pragma once

namespace haikuda::cuda {

// The next kernel of the stream may start as soon as all blocks have called this or ended. It
// publishes nothing.
__device__ inline void let_next_kernel_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Returns when all kernels before this one have ended and their writes are seen. At least one block
// of every kernel of a chain calls it, so that the end of a kernel means the end of all before it.
__device__ inline void wait_for_previous_kernel() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace haikuda::cuda
