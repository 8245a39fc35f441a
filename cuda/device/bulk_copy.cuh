// Copies of many bytes at once into shared memory, by the SM's copy engine, and the barriers in
// shared memory that count their bytes. From sm_90 on; before, kernels that use them are empty.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace haikuda::cuda {

using CopyBarrier = std::uint64_t;
using CachePolicy = std::uint64_t;

__device__ inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}

// Shared memory from an address that stays in a register: the compiler computes that of an array
// anew wherever it is used, which takes it longer than a load.
class SharedBase {
 public:
  __device__ explicit SharedBase(const void* shared) : address_(shared_address(shared)) {
    asm volatile("" : "+r"(address_));
  }
  // The same, of which the compiler does not know it: what is computed from it is computed here,
  // and does not occupy registers all the time.
  __device__ SharedBase again() const {
    SharedBase out(*this);
    asm volatile("" : "+r"(out.address_));
    return out;
  }
  template <class T>
  __device__ T* at(int offset) const {
    return static_cast<T*>(__cvta_shared_to_generic(address_ + static_cast<std::uint32_t>(offset)));
  }

 private:
  std::uint32_t address_;
};

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
// A phase of it ends when n_arrivals threads have arrived, and all bytes that they have announced
// are there.
__device__ inline void init_barrier(CopyBarrier* barrier, unsigned n_arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
               "r"(n_arrivals)
               : "memory");
}
// After the last init_barrier of a thread, before others and the copy engine use them.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
// As if n threads did.
__device__ inline void arrive(CopyBarrier* barrier, int n) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(n)
               : "memory");
}
// And arrives.
__device__ inline void announce_bytes(CopyBarrier* barrier, unsigned n_bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(n_bytes)
      : "memory");
}
// Arrives once the thread's copies by copy_async_16 are there.
__device__ inline void arrive_when_copied(CopyBarrier* barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(shared_address(barrier))
               : "memory");
}
// What threads wrote into shared memory, this one after having waited for it, comes before what
// bulk copies write there.
__device__ inline void order_before_bulk_copies() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
// Of bytes that are read once and then not for long: they leave the L2 cache before all others.
__device__ inline CachePolicy evict_first() {
  CachePolicy policy;
  asm("createpolicy.fractional.L2::evict_first.b64 %0;" : "=l"(policy));
  return policy;
}
// n_bytes, announced to the barrier by this thread; it and both addresses are multiples of 16.
__device__ inline void copy_bulk(
    void* shared, const void* global, unsigned n_bytes, CopyBarrier* barrier, CachePolicy policy) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
      " [%0], [%1], %2, [%3], %4;" ::"r"(shared_address(shared)),
      "l"(global), "r"(n_bytes), "r"(shared_address(barrier)), "l"(policy)
      : "memory");
}
// Whether its phase of this parity has ended, that of the first being 0; asked for a while.
__device__ inline bool has_ended(CopyBarrier* barrier, unsigned parity) {
  int has;
  asm volatile(
      "{\n"
      ".reg .pred p;\n"
      "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
      "selp.s32 %0, 1, 0, p;\n"
      "}\n"
      : "=r"(has)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return has != 0;
}
#else
__device__ inline void init_barrier(CopyBarrier*, unsigned) {}
__device__ inline void publish_barriers() {}
__device__ inline void arrive(CopyBarrier*, int) {}
__device__ inline void announce_bytes(CopyBarrier*, unsigned) {}
__device__ inline void arrive_when_copied(CopyBarrier*) {}
__device__ inline void order_before_bulk_copies() {}
__device__ inline CachePolicy evict_first() {
  return 0;
}
__device__ inline void copy_bulk(void*, const void*, unsigned, CopyBarrier*, CachePolicy) {}
__device__ inline bool has_ended(CopyBarrier*, unsigned) {
  return true;
}
#endif

}  // namespace haikuda::cuda
