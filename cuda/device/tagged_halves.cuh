// Four halves that one block of a running kernel hands to the others, in 8 bytes that are written
// and read as one (tagged.cuh): their last bits are the last of the tag, and a level.
#pragma once

#include <cuda_fp16.h>

#include "cuda/device/reduce.cuh"
#include "cuda/device/tagged.cuh"

namespace haikuda::cuda {

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

}  // namespace haikuda::cuda
