// Values that blocks of one running kernel hand to each other: one or two lie beside a tag, in 8
// bytes that are written and read as one, so that the values are there when the tag is, and no
// barrier, fence or flag is needed (as in NCCL's LL protocol). Whoever reads waits for the tag.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "cuda/device/planes.h"
#include "cuda/device/reduce.cuh"

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

// 2^(24 level).
__device__ inline float power_of_level(int level) {
  return __uint_as_float(static_cast<unsigned>(127 + kBitsOfLevel * level) << 23);
}
// Two neighbouring values of each lane, by all lanes of a warp, on one level: that at which halves
// hold the greatest, and which is 0 in all but rare cases.
class WarpHalves {
 public:
  __device__ WarpHalves(float2 values, unsigned tag) {
    constexpr unsigned kLeast = 0x3a800000, kMost = 0x47000000;  // 2^-10, 2^15
    const unsigned greatest =
        max(__float_as_uint(values.x) & 0x7fffffffu, __float_as_uint(values.y) & 0x7fffffffu);
    unsigned up = kLast;  // to the nearest
    if (__any_sync(kAllLanes, greatest >= kMost) || __all_sync(kAllLanes, greatest < kLeast))
        [[unlikely]] {
      const unsigned of_warp = warp_max(greatest);
      const int exponent = static_cast<int>(of_warp >> 23) - 127;
      if (of_warp >= kMost) level_ = 1 + (exponent - 15) / kBitsOfLevel;
      if (0 < of_warp && of_warp < kLeast) level_ = -1 - (-11 - exponent) / kBitsOfLevel;
      level_ = max(level_, kLeastLevel);
      const float scale = power_of_level(-level_);
      values.x *= scale, values.y *= scale;
      if (of_warp >= 0x7f800000u) up = 0;  // a NaN stays one
    }
    const __half2 pair = __float22half2_rn(values);
    mine_ = (reinterpret_cast<const unsigned&>(pair) + up) & ~kLast;
    next_ = __shfl_xor_sync(kAllLanes, mine_, 1);
    tag_ = tag & 1u;
  }
  // By every other lane: its values and those of the next.
  __device__ void publish(TaggedHalves* to) const {
    const unsigned code = static_cast<unsigned>(level_) & 7u;
    const unsigned first = mine_ | tag_ | (code & 1u) << 16,
                   second = next_ | (code >> 1 & 1u) | code >> 2 << 16;
    asm volatile("st.relaxed.gpu.global.u64 [%0], %1;" ::"l"(to),
                 "l"(std::uint64_t{second} << 32 | first)
                 : "memory");
  }

 private:
  static constexpr unsigned kLast = 0x00010001u;  // bits of halves
  unsigned mine_, next_, tag_;
  int level_ = 0;
};
__device__ inline bool has_tag_of_halves(std::uint64_t bits, unsigned tag) {
  return ((static_cast<unsigned>(bits) ^ tag) & 1u) == 0;
}
// The bits of their levels, of many when these are combined by "or": 0 if all are 0.
constexpr std::uint64_t kLevelOfHalves = 0x00010001'00010000u;
__device__ inline int level_of_halves(std::uint64_t bits) {
  const unsigned code = static_cast<unsigned>(bits >> 16 & 1) |
                        static_cast<unsigned>(bits >> 32 & 1) << 1 |
                        static_cast<unsigned>(bits >> 48 & 1) << 2;
  return code > kMostLevel ? static_cast<int>(code) - 8 : static_cast<int>(code);
}
__device__ inline uint2 halves_of(std::uint64_t bits) {
  return make_uint2(static_cast<unsigned>(bits) & 0xfffefffeu,
                    static_cast<unsigned>(bits >> 32) & 0xfffefffeu);
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
// Of what was asked for; asks again until it is there.
__device__ inline float2 wait_for_pair(std::uint64_t asked, const TaggedPair* from, unsigned tag) {
  for (Patience patience; !has_pair_tag(asked, tag); asked = ask_value(from)) patience.spend();
  return pair_of(asked);
}
struct TwoPairs {
  float2 first, second;
};
__device__ inline TwoPairs wait_for_pairs(AskedPairs asked, const TaggedPair* from, unsigned tag) {
  for (Patience patience; !(has_pair_tag(asked.bits[0], tag) && has_pair_tag(asked.bits[1], tag));
       asked = ask_pairs(from))
    patience.spend();
  return {pair_of(asked.bits[0]), pair_of(asked.bits[1])};
}

}  // namespace haikuda::cuda
