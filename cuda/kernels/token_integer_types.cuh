// The types of quantized weights that the kernel which decodes a token multiplies, by integer dot
// products. Included by token.cu alone.
//
// Eight units of a row are a step. Lane (r, u) = (lane / 8, lane % 8) has unit u of it, of two rows
// of a tile, r and r + 4: all of their 32 weights, and so their scales. Both meet the same x.
#pragma once

#include "cuda/device/decoders.cuh"
#include "cuda/device/nibbles.cuh"
#include "cuda/kernels/token_integers_x.cuh"

namespace haikuda::cuda {

// Weights as they lie in a slot, of a lane's unit: words of quants, of fifth or upper bits, of
// scales.
using RawUnit = std::uint32_t[9];
// x of a lane's unit: the high and the low bytes of its lower half and of its upper half, in the
// order of its weights, and the scales and sums of these columns.
struct UnitX {
  std::uint32_t low[kActivationPlanes][4], high[kActivationPlanes][4];
  float low_scale, high_scale, low_sum, high_sum;
};
// Which 16 columns of the sixteen of a step are the halves of unit u: the lower half comes first,
// the upper half 1 << kOrder later.
template <int kOrder>
__device__ constexpr int low_columns(int u) {
  return (u >> kOrder << (kOrder + 1)) | (u & ((1 << kOrder) - 1));
}
template <int kFirst, int kSecond, int kThird, int kFourth>
__device__ constexpr int one_of(int plane) {
  return plane == 0 ? kFirst : plane == 1 ? kSecond : plane == 2 ? kThird : kFourth;
}
// Where in a slot a lane's unit is.
struct UnitInSlot {
  const std::uint8_t* plane[kMaxPlanes];
};

__device__ inline void load_words(std::uint32_t* to, const std::uint8_t* from) {
  const uint4 x = *reinterpret_cast<const uint4*>(from);
  to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}
template <class Word>
__device__ inline std::uint32_t load_word(const std::uint8_t* from) {
  return *reinterpret_cast<const Word*>(from);
}

// Sums of 16 or 32 products of high and of low bytes with weights that are signed or not.
template <bool kIsSigned>
class UnitSum {
 public:
  __device__ void add(const std::uint32_t* w, const std::uint32_t (&x)[kActivationPlanes][4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i)
#pragma unroll
      for (int p = 0; p < kActivationPlanes; ++p)
        plane_[p] =
            kIsSigned ? dot4(w[i], x[p][i], plane_[p]) : dot4_of_unsigned(w[i], x[p][i], plane_[p]);
  }
  __device__ int sum() const {
    return 256 * plane_[0] + plane_[1];
  }
  __device__ float total() const {
    return static_cast<float>(sum());
  }

 private:
  static_assert(kActivationPlanes == 2);
  int plane_[kActivationPlanes] = {};
};

__device__ inline void split_nibbles(const std::uint32_t* bytes,
                                     std::uint32_t (&low)[4],
                                     std::uint32_t (&high)[4]) {
#pragma unroll
  for (int w = 0; w < 4; ++w)
    low[w] = bytes[w] & kLowNibbles, high[w] = bytes[w] >> 4 & kLowNibbles;
}
template <class Upper>
__device__ inline void add_upper_bits(const Upper& upper,
                                      std::uint32_t (&low)[4],
                                      std::uint32_t (&high)[4]) {
#pragma unroll
  for (int w = 0; w < 4; ++w) low[w] |= upper.low(w), high[w] |= upper.high(w);
}

// Each type has
//   Decoder              of an embedding of the type
//   kWantsSums, kOrder   of x
//   plane_bytes(plane)   of a step of a row
//   offset(plane, u)     of unit u in a step
//   halves_change(u)     whether that unit's upper half is taken for its lower one, and vice versa
//   load, multiply       of unit u

// ---- 32 weights a scale

struct IntegerQ8_0 {
  using Decoder = DecodeQ8_0;
  static constexpr bool kWantsSums = false;
  static constexpr int kOrder = 0;
  static __device__ constexpr int plane_bytes(int plane) { return one_of<256, 16, 0, 0>(plane); }
  // Neighbouring lanes' 16 bytes have to be in different banks.
  static __device__ int halves_change(int u) { return (u >> 2 ^ u >> 1) & 1; }
  static __device__ int offset(int plane, int u) {
    return plane == 0 ? u * 32 + halves_change(u) * 16 : u * 2;
  }
  static __device__ void load(RawUnit& raw, const UnitInSlot& from, int u) {
    load_words(raw, from.plane[0]);
    load_words(raw + 4, from.plane[0] + 16 - halves_change(u) * 32);
    raw[8] = load_word<std::uint16_t>(from.plane[1]);
  }
  static __device__ float multiply(const RawUnit& raw, const UnitX& x, int) {
    UnitSum<true> sum;
    sum.add(raw, x.low), sum.add(raw + 4, x.high);
    return x.low_scale * low_half(raw[8]) * sum.total();
  }
};

// 4 or 5 bits, of which kZero stands for 0, or with a minimum.
template <class OfType, bool kHasFifthBits, bool kHasMinimum, int kZero>
struct IntegerNibbles {
  using Decoder = OfType;
  static constexpr bool kWantsSums = true;
  static constexpr int kOrder = 0;
  static __device__ constexpr int plane_bytes(int plane) {
    return one_of < 128, kHasMinimum ? 32 : 16, kHasFifthBits ? 32 : 0, 0 > (plane);
  }
  static __device__ int halves_change(int) { return 0; }
  static __device__ int offset(int plane, int u) { return plane_bytes(plane) / kStepUnits * u; }
  static __device__ void load(RawUnit& raw, const UnitInSlot& from, int) {
    load_words(raw, from.plane[0]);
    raw[4] = kHasMinimum ? load_word<std::uint32_t>(from.plane[1])
                         : load_word<std::uint16_t>(from.plane[1]);
    if constexpr (kHasFifthBits) raw[5] = load_word<std::uint32_t>(from.plane[2]);
  }
  static __device__ float multiply(const RawUnit& raw, const UnitX& x, int) {
    std::uint32_t low[4], high[4];
    split_nibbles(raw, low, high);
    if constexpr (kHasFifthBits) add_upper_bits(FifthBits{raw[5]}, low, high);
    UnitSum<false> sum;
    sum.add(low, x.low), sum.add(high, x.high);
    const float scale = low_half(raw[4]), of_x = x.low_sum + x.high_sum;
    const float products = x.low_scale * sum.total();
    return kHasMinimum ? scale * products + high_half(raw[4]) * of_x
                       : scale * (products - static_cast<float>(kZero) * of_x);
  }
};
using IntegerQ4_0 = IntegerNibbles<DecodeQ4_0, false, false, 8>;
using IntegerQ4_1 = IntegerNibbles<DecodeQ4_1, false, true, 0>;
using IntegerQ5_0 = IntegerNibbles<DecodeQ5_0, true, false, 16>;
using IntegerQ5_1 = IntegerNibbles<DecodeQ5_1, true, true, 0>;

// ---- blocks of 256, a step: scales of 16 weights, or of 32 that are halves of two units

// A unit's two scales and minima, of which there are eight of 6 bits each in a block.
template <class OfType, bool kHasFifthBits>
struct IntegerK4 {
  using Decoder = OfType;
  static constexpr bool kWantsSums = true;
  static constexpr int kOrder = 1;
  static __device__ constexpr int plane_bytes(int plane) {
    return one_of < 128, 16, kHasFifthBits ? 32 : 0, 0 > (plane);
  }
  static __device__ int halves_change(int) { return 0; }
  static __device__ int offset(int plane, int u) {
    return plane == 1 ? 0 : plane_bytes(plane) / kStepUnits * u;
  }
  static __device__ void load(RawUnit& raw, const UnitInSlot& from, int) {
    load_words(raw, from.plane[0]);
    load_words(raw + 4, from.plane[1]);
    if constexpr (kHasFifthBits) raw[8] = load_word<std::uint32_t>(from.plane[2]);
  }
  static __device__ float multiply(const RawUnit& raw, const UnitX& x, int u) {
    std::uint32_t low[4], high[4];
    UnitSum<false> of_low, of_high;
    if constexpr (kHasFifthBits) {
      split_nibbles(raw, low, high);
      add_upper_bits(FifthBits{raw[8]}, low, high);
    } else {
      // The high ones stay where they are.
#pragma unroll
      for (int w = 0; w < 4; ++w) low[w] = raw[w] & kLowNibbles, high[w] = raw[w] & ~kLowNibbles;
    }
    of_low.add(low, x.low), of_high.add(high, x.high);
    // Scale, minimum, scale, minimum.
    const std::uint32_t bits =
        quick_k4_bits(raw[5], raw[6], raw[7], static_cast<std::uint32_t>(u) / 2);
    const auto field = [bits](int i) { return static_cast<int>(bits >> 6 * i & 63u); };
    const auto scaled = [](int sum, int scale) { return static_cast<float>(sum * scale); };
    const int high_sum = kHasFifthBits ? of_high.sum() : of_high.sum() >> 4;
    const float products =
        x.low_scale * scaled(of_low.sum(), field(0)) + x.high_scale * scaled(high_sum, field(2));
    const float minima =
        static_cast<float>(field(1)) * x.low_sum + static_cast<float>(field(3)) * x.high_sum;
    return low_half(raw[4]) * products - high_half(raw[4]) * minima;
  }
};
using IntegerQ4_K = IntegerK4<DecodeQ4_K, false>;
using IntegerQ5_K = IntegerK4<DecodeQ5_K, true>;

struct IntegerQ6_K {
  using Decoder = DecodeQ6_K;
  static constexpr bool kWantsSums = true;
  static constexpr int kOrder = 2;
  static __device__ constexpr int plane_bytes(int plane) { return one_of<128, 16, 64, 2>(plane); }
  static __device__ int halves_change(int) { return 0; }
  static __device__ int offset(int plane, int u) {
    return plane == 3 ? 0 : plane_bytes(plane) / kStepUnits * u;
  }
  static __device__ void load(RawUnit& raw, const UnitInSlot& from, int) {
    load_words(raw, from.plane[0]);
    const uint2 upper = *reinterpret_cast<const uint2*>(from.plane[2]);
    raw[4] = upper.x, raw[5] = upper.y;
    raw[6] = load_word<std::uint16_t>(from.plane[1]);
    raw[7] = load_word<std::uint16_t>(from.plane[3]);
  }
  static __device__ float multiply(const RawUnit& raw, const UnitX& x, int) {
    std::uint32_t low[4], high[4];
    split_nibbles(raw, low, high);
    add_upper_bits(UpperTwoBits{raw[4], raw[5]}, low, high);
    UnitSum<false> of_low, of_high;
    of_low.add(low, x.low), of_high.add(high, x.high);
    const auto scale = [&raw](int half) {
      return static_cast<float>(static_cast<std::int8_t>(raw[6] >> 8 * half));
    };
    return low_half(raw[7]) * (scale(0) * (x.low_scale * of_low.total() - 32 * x.low_sum) +
                               scale(1) * (x.high_scale * of_high.total() - 32 * x.high_sum));
  }
};

// f(a type's struct), of the types that a kernel has. Code that is not there costs nothing.
template <IntegerTypes kTypes, class F>
__device__ __forceinline__ void with_integer_type(DType dtype, const F& f) {
  if constexpr (kTypes == IntegerTypes::q8_0) {
    f(IntegerQ8_0{});
  } else if constexpr (kTypes == IntegerTypes::q4_k_m) {
    switch (dtype) {
      case DType::Q5_0:
        return f(IntegerQ5_0{});
      case DType::Q4_K:
        return f(IntegerQ4_K{});
      case DType::Q6_K:
        return f(IntegerQ6_K{});
      default:
        return f(IntegerQ8_0{});
    }
  } else {
    switch (dtype) {
      case DType::Q4_0:
        return f(IntegerQ4_0{});
      case DType::Q4_1:
        return f(IntegerQ4_1{});
      case DType::Q5_0:
        return f(IntegerQ5_0{});
      case DType::Q5_1:
        return f(IntegerQ5_1{});
      case DType::Q4_K:
        return f(IntegerQ4_K{});
      case DType::Q5_K:
        return f(IntegerQ5_K{});
      case DType::Q6_K:
        return f(IntegerQ6_K{});
      default:
        return f(IntegerQ8_0{});
    }
  }
}

}  // namespace haikuda::cuda
