// Products of a unit of weights, 16 bytes of the first plane of a row, with x. A warp takes 32
// units at a time, a chunk: it copies their bytes and those of the other planes ("sides") to shared
// memory and multiplies them from there. For each type:
//   kUnitElems       elements of a unit
//   kSideBytes[p]    bytes of plane 1 + p that belong to a chunk
//   kOrder, kIntegers, kScalesPer16   how x lies (staged_x.cuh)
//   X, load_x        what a lane needs of x for a unit; shared by all rows that it multiplies
//   dot              the product of the lane's unit, from main (512 bytes) and side of a chunk
#pragma once

#include <cstdint>

#include "cuda/device/decoders.cuh"
#include "cuda/device/nibbles.cuh"
#include "cuda/device/staged_x.cuh"

namespace haikuda::cuda {

struct SideBytes {
  int of_plane[kMaxPlanes - 1];
};
constexpr int kChunkUnits = 32;
constexpr int kMainBytes = 16 * kChunkUnits;

// ---- plain types: F32 products

struct DotF32 {
  static constexpr int kUnitElems = 4;
  static constexpr SideBytes kSideBytes = {};
  static constexpr XOrder kOrder = XOrder::natural;
  static constexpr bool kIntegers = false, kScalesPer16 = false;
  using X = float4;
  static __device__ X load_x(const StagedX& x, int chunk, int lane) {
    return reinterpret_cast<const float4*>(x.vectors)[chunk * kChunkUnits + lane];
  }
  static __device__ float dot(
      const std::uint8_t* main, const std::uint8_t*, const X& x, int, int lane) {
    const float4 w = reinterpret_cast<const float4*>(main)[lane];
    return fmaf(w.w, x.w, fmaf(w.z, x.z, fmaf(w.y, x.y, w.x * x.x)));
  }
};

__device__ inline float2 halves_to_float(std::uint32_t word) {
  return make_float2(low_half(word), high_half(word));
}
__device__ inline float2 bf16s_to_float(std::uint32_t word) {
  return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xffff0000u));
}

template <float2 (*kToFloat)(std::uint32_t)>
struct DotTwoBytes {
  static constexpr int kUnitElems = 8;
  static constexpr SideBytes kSideBytes = {};
  static constexpr XOrder kOrder = XOrder::pairs;
  static constexpr bool kIntegers = false, kScalesPer16 = false;
  struct X {
    float4 low, high;
  };
  static __device__ X load_x(const StagedX& x, int chunk, int lane) {
    const auto* vectors = reinterpret_cast<const float4*>(x.vectors) + paired_slot(chunk, lane);
    return {vectors[0], vectors[32]};
  }
  static __device__ float dot(
      const std::uint8_t* main, const std::uint8_t*, const X& x, int, int lane) {
    const uint4 w = reinterpret_cast<const uint4*>(main)[lane];
    const float2 a = kToFloat(w.x), b = kToFloat(w.y), c = kToFloat(w.z), d = kToFloat(w.w);
    const float low = fmaf(b.y, x.low.w, fmaf(b.x, x.low.z, fmaf(a.y, x.low.y, a.x * x.low.x)));
    const float high =
        fmaf(d.y, x.high.w, fmaf(d.x, x.high.z, fmaf(c.y, x.high.y, c.x * x.high.x)));
    return low + high;
  }
};
using DotF16 = DotTwoBytes<halves_to_float>;
using DotBF16 = DotTwoBytes<bf16s_to_float>;

// ---- blocks of 32

struct DotQ8_0 {
  static constexpr int kUnitElems = 16;
  static constexpr SideBytes kSideBytes = {{32}};
  static constexpr XOrder kOrder = XOrder::natural;
  static constexpr bool kIntegers = true, kScalesPer16 = false;
  struct X {
    IntVector q;
    float scale;
  };
  static __device__ X load_x(const StagedX& x, int chunk, int lane) {
    const int unit = chunk * kChunkUnits + lane;
    return {x.integers(unit), x.scales[chunk * (kChunkUnits / 2) + lane / 2].x};
  }
  static __device__ float dot(
      const std::uint8_t* main, const std::uint8_t* side, const X& x, int, int lane) {
    const uint4 w = reinterpret_cast<const uint4*>(main)[lane];
    IntSum sum;
#pragma unroll
    for (int i = 0; i < 4; ++i) sum.add(word_of(w, i), x.q, i);
    return scale_in(side, lane / 2) * (x.scale * total_to_float(sum.total()));
  }
};

// 32 elements in 16 bytes of nibbles: the low ones are x's first vector, the high ones its second.
struct NibbleX {
  IntVector low, high;
};
__device__ inline NibbleX load_nibble_x(const StagedX& x, int chunk, int lane) {
  const int slot = paired_slot(chunk, lane);
  return {x.integers(slot), x.integers(slot + 32)};
}

// The sums of products of the low and of the high nibbles, with their upper bits where they have
// some.
struct NibbleSums {
  IntSum low, high;
};
template <class Upper>
__device__ inline NibbleSums dot_nibbles(const uint4& w, const NibbleX& x, const Upper& upper) {
  NibbleSums sums;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    sums.low.add((word_of(w, i) & kLowNibbles) | upper.low(i), x.low, i);
    sums.high.add((word_of(w, i) >> 4 & kLowNibbles) | upper.high(i), x.high, i);
  }
  return sums;
}

// y = d (q - kOffset), or d q + m where kHasMinimum.
template <bool kHasMinimum, bool kHasFifthBits>
struct DotNibbles {
  static constexpr int kUnitElems = 32;
  static constexpr int kScaleBytes = (kHasMinimum ? 4 : 2) * kChunkUnits;
  static constexpr SideBytes kSideBytes = {{kScaleBytes, kHasFifthBits ? 4 * kChunkUnits : 0}};
  static constexpr XOrder kOrder = XOrder::pairs;
  static constexpr bool kIntegers = true, kScalesPer16 = false;
  struct X {
    NibbleX q;
    XScale scale;
  };
  static __device__ X load_x(const StagedX& x, int chunk, int lane) {
    return {load_nibble_x(x, chunk, lane), x.scales[chunk * kChunkUnits + lane]};
  }
  static __device__ float dot(
      const std::uint8_t* main, const std::uint8_t* side, const X& x, int, int lane) {
    const uint4 w = reinterpret_cast<const uint4*>(main)[lane];
    NibbleSums sums;
    if constexpr (kHasFifthBits)
      sums = dot_nibbles(w, x.q, FifthBits{word_in(side + kScaleBytes, lane)});
    else
      sums = dot_nibbles(w, x.q, NoUpperBits{});
    const float of_quants = x.scale.x * total_to_float(sums.low.total() + sums.high.total());
    if constexpr (kHasMinimum) {
      const std::uint32_t dm = word_in(side, lane);
      return fmaf(high_half(dm), x.scale.y, low_half(dm) * of_quants);
    } else {
      constexpr float kOffset = kHasFifthBits ? 16 : 8;
      return scale_in(side, lane) * fmaf(-kOffset, x.scale.y, of_quants);
    }
  }
};
using DotQ4_0 = DotNibbles<false, false>;
using DotQ4_1 = DotNibbles<true, false>;
using DotQ5_0 = DotNibbles<false, true>;
using DotQ5_1 = DotNibbles<true, true>;

// ---- blocks of 256: a unit has parts of two sub-blocks

struct KX {
  NibbleX q;
  XScale low, high;
};
__device__ inline KX load_k_x(const StagedX& x, int chunk, int lane) {
  const XScale* scales = x.scales + paired_slot(chunk, lane);
  return {load_nibble_x(x, chunk, lane), scales[0], scales[32]};
}

template <bool kHasFifthBits>
struct DotK4 {
  static constexpr int kUnitElems = 32;
  static constexpr int kScaleBytes = 16 * kChunkUnits / 8;
  static constexpr SideBytes kSideBytes = {{kScaleBytes, kHasFifthBits ? 4 * kChunkUnits : 0}};
  static constexpr XOrder kOrder = XOrder::k4;
  static constexpr bool kIntegers = true, kScalesPer16 = true;
  using X = KX;
  static __device__ X load_x(const StagedX& x, int chunk, int lane) {
    return load_k_x(x, chunk, lane);
  }
  static __device__ float dot(
      const std::uint8_t* main, const std::uint8_t* side, const X& x, int, int lane) {
    const uint4 w = reinterpret_cast<const uint4*>(main)[lane];
    NibbleSums sums;
    if constexpr (kHasFifthBits)
      sums = dot_nibbles(w, x.q, FifthBits{word_in(side + kScaleBytes, lane)});
    else
      sums = dot_nibbles(w, x.q, NoUpperBits{});
    const uint4 scales = reinterpret_cast<const uint4*>(side)[lane / 8];
    const std::uint32_t bits =
        quick_k4_bits(scales.y, scales.z, scales.w, static_cast<std::uint32_t>(lane % 8 / 2));
    const int low_scale = static_cast<int>(bits & 63u), low_min = static_cast<int>(bits >> 6 & 63u);
    const int high_scale = static_cast<int>(bits >> 12 & 63u),
              high_min = static_cast<int>(bits >> 18 & 63u);
    const float of_quants = fmaf(x.low.x, total_to_float(low_scale * sums.low.total()),
                                 x.high.x * total_to_float(high_scale * sums.high.total()));
    const float of_minima =
        fmaf(x.low.y, small_int_to_float(low_min), x.high.y * small_int_to_float(high_min));
    return fmaf(low_half(scales.x), of_quants, -high_half(scales.x) * of_minima);
  }
};
using DotQ4_K = DotK4<false>;
using DotQ5_K = DotK4<true>;

struct DotQ6_K {
  static constexpr int kUnitElems = 32;
  static constexpr SideBytes kSideBytes = {{64, 256, 8}};
  static constexpr XOrder kOrder = XOrder::k6;
  static constexpr bool kIntegers = true, kScalesPer16 = true;
  using X = KX;
  static __device__ X load_x(const StagedX& x, int chunk, int lane) {
    return load_k_x(x, chunk, lane);
  }
  static __device__ float dot(
      const std::uint8_t* main, const std::uint8_t* side, const X& x, int chunk, int lane) {
    const uint4 w = reinterpret_cast<const uint4*>(main)[lane];
    const uint2 upper = reinterpret_cast<const uint2*>(side + 64)[lane];
    const NibbleSums sums = dot_nibbles(w, x.q, UpperTwoBits{upper.x, upper.y});
    const std::uint32_t scales = reinterpret_cast<const std::uint16_t*>(side)[lane];
    const int low_scale = static_cast<std::int8_t>(scales & 0xffu);
    const int high_scale = static_cast<std::int8_t>(scales >> 8);
    // 8 bytes a chunk: 16 are copied, from a multiple of 16.
    const float d = scale_in(side + 320, chunk % 2 * 4 + lane / 8);
    const float low = fmaf(-32.0f, x.low.y, x.low.x * total_to_float(sums.low.total()));
    const float high = fmaf(-32.0f, x.high.y, x.high.x * total_to_float(sums.high.total()));
    return d * fmaf(small_int_to_float(low_scale), low, small_int_to_float(high_scale) * high);
  }
};

}  // namespace haikuda::cuda
