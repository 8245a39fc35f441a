// Copies into shared memory that run behind the computation, and the order of dependent launches.
// With mma.cuh the only inline assembly of the project.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace haikuda::cuda {

// The block's dynamic shared memory, aligned to 128 bytes.
__device__ inline std::uint8_t* dynamic_shared() {
  extern __shared__ __align__(128) std::uint8_t bytes[];
  return bytes;
}

// 16 bytes from global to shared memory, both aligned to 16, past the L1 cache. They are there for
// the thread that asked once it has waited for the group, for others after a barrier behind that.
__device__ inline void copy_async_16(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(address), "l"(global)
               : "memory");
#else
  *static_cast<uint4*>(shared) = *static_cast<const uint4*>(global);
#endif
}
// The same, or zeros when not is_there: then `global` is not read, though it points into memory
// that may be.
__device__ inline void copy_async_16_or_zeros(void* shared, const void* global, bool is_there) {
#if __CUDA_ARCH__ >= 800
  const auto address = static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
               "r"(is_there ? 16 : 0)
               : "memory");
#else
  *static_cast<uint4*>(shared) =
      is_there ? *static_cast<const uint4*>(global) : make_uint4(0, 0, 0, 0);
#endif
}
// Ends a group: the copies since the last call.
__device__ inline void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
// Until all but the latest kPending groups of this thread are there.
template <int kPending>
__device__ inline void wait_for_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
#endif
}

// Programmatic dependent launch: a kernel launched so may start before its predecessor has ended.
// It then reads nothing and writes nothing that any earlier kernel touches before it has waited,
// and each kernel waits, or its successor would not wait for its predecessors.
__device__ inline void let_dependents_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}
__device__ inline void wait_for_predecessors() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// threadIdx.x, read anew: what a long loop computes from it is computed there, and does not occupy
// registers from its begin to its end.
__device__ inline int thread_now() {
  int id;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(id));
  return id;
}

// Activations come from other blocks of earlier kernels: from the L2 cache, never from a cache that
// assumes them constant.
__device__ inline float4 load_activations(const float* x) {
  return __ldcg(reinterpret_cast<const float4*>(x));
}
__device__ inline float load_activation(const float* x) {
  return __ldcg(x);
}

}  // namespace haikuda::cuda
