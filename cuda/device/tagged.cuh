// Values that blocks of one running kernel hand to each other: one or two lie beside a tag, in 8
// bytes that are written and read as one, so that the values are there when the tag is, and no
// barrier, fence or flag is needed (as in NCCL's LL protocol). Whoever reads waits for the tag.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/device/planes.h"

namespace haikuda::cuda {

__device__ inline std::uint64_t tagged_bits(float value, unsigned tag) {
  return std::uint64_t{tag} << 32 | __float_as_uint(value);
}
__device__ inline void publish(Tagged* to, float value, unsigned tag) {
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(tagged_bits(value, tag))
               : "memory");
}

__device__ inline unsigned float24(float x) {
  const unsigned bits = __float_as_uint(x);
  return (x == x ? bits + 0x80 : bits) & 0xffffff00u;  // of a NaN, whose bits would overflow
}
__device__ inline void publish_pair(TaggedPair* to, float first, float second, unsigned tag) {
  const unsigned b = float24(second);
  const std::uint64_t high = float24(first) | b >> 24,
                      low = (b << 8 & 0xffff0000u) | (tag & 0xffffu);
  asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to), "l"(high << 32 | low) : "memory");
}
__device__ inline bool has_pair_tag(std::uint64_t bits, unsigned tag) {
  return (static_cast<unsigned>(bits) & 0xffffu) == (tag & 0xffffu);
}
__device__ inline float2 pair_of(std::uint64_t bits) {
  const auto high = static_cast<unsigned>(bits >> 32), low = static_cast<unsigned>(bits);
  return make_float2(__uint_as_float(high & 0xffffff00u),
                     __uint_as_float(__byte_perm(low, high, 0x4321) & 0xffffff00u));
}

// Two neighbouring pairs, as they were when they were asked for.
struct AskedPairs {
  std::uint64_t bits[2];
};
template <class T>
__device__ AskedPairs ask_pairs(const T* from) {
  AskedPairs out;
  asm volatile("ld.relaxed.gpu.global.v2.u64 {%0, %1}, [%2];"
               : "=l"(out.bits[0]), "=l"(out.bits[1])
               : "l"(from)
               : "memory");
  return out;
}
template <class T>
__device__ std::uint64_t ask_value(const T* from) {
  std::uint64_t bits;
  asm volatile("ld.relaxed.gpu.global.u64 %0, [%1];" : "=l"(bits) : "l"(from) : "memory");
  return bits;
}
__device__ inline bool has_tag(std::uint64_t bits, unsigned tag) {
  return static_cast<unsigned>(bits >> 32) == tag;
}
__device__ inline float value_of(std::uint64_t bits) {
  return __uint_as_float(static_cast<unsigned>(bits));
}

// Ends the kernel with an error when what it waits for never comes: after 2^24 answers of the L2
// cache, three seconds where it has nothing else to do.
class Patience {
 public:
  __device__ void spend() {
    if (++spent_ == 1u << 24) __trap();
  }

 private:
  unsigned spent_ = 0;
};

// out[i] = the value at at(i). All are asked for together, and again until all are there.
template <int kN, class At>
__device__ void wait_for_values(float (&out)[kN], const At& at, unsigned tag) {
  for (Patience patience;; patience.spend()) {
    std::uint64_t bits[kN];
#pragma unroll
    for (int i = 0; i < kN; ++i) bits[i] = ask_value(at(i));
    bool has_all = true;
#pragma unroll
    for (int i = 0; i < kN; ++i)
      has_all = has_all && has_tag(bits[i], tag), out[i] = value_of(bits[i]);
    if (has_all) return;
  }
}
}  // namespace haikuda::cuda
