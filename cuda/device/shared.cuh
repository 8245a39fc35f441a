// Shared memory whose size the launch gives, and copies into it that nobody waits for yet.
#pragma once

#include <cstdint>

namespace haikuda::cuda {

// The block's dynamic shared memory, aligned to 16 bytes.
__device__ inline unsigned char* dynamic_shared() {
  extern __shared__ uint4 dynamic_shared_words[];
  return reinterpret_cast<unsigned char*>(dynamic_shared_words);
}

// Copies 16 bytes, both addresses aligned to 16; zeros when not is_there, and then `from` is not
// read, though it points into memory that may be.
__device__ inline void copy_16_async(uint4* shared, const void* from, bool is_there) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  const auto to = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(is_there ? 16 : 0)
               : "memory");
#else
  *shared = is_there ? *static_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
#endif
}

// Ends a group of this thread's copies, which may be empty.
__device__ inline void end_copy_group() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until all but the newest kLeft groups of this thread have arrived; other threads see them
// after a barrier.
template <int kLeft>
__device__ inline void wait_for_copies() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kLeft) : "memory");
#endif
}

}  // namespace haikuda::cuda
