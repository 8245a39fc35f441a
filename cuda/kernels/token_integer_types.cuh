// The types of quantized weights that the kernel which decodes a token multiplies by integer matrix
// units. Included by token.cu alone.
//
// Lane (g, t) = (lane / 4, lane % 4) has unit t of the four of a step, of row g: all of its 32
// weights, and so its scales. To a matrix unit they are columns of t, of row g. x is the columns
// 2t and 2t + 1, high and low bytes, of which only what belongs to t is not zero: so sums come back
// to the lane that has the scales. A matrix has 16 rows: what lies there beside the weights in
// registers are others of the same unit, which the next product takes with their x, where the upper
// rows are of no use.
#pragma once

#include "cuda/device/decoders.cuh"
#include "cuda/device/nibbles.cuh"
#include "cuda/kernels/token_integers_x.cuh"

namespace haikuda::cuda {

// Weights as they lie in a slot, of a lane's unit: words of quants, of fifth or upper bits, of
// scales.
using RawUnit = std::uint32_t[9];
// x of a step: what the lane gives matrix units for the lower and for the upper half of its unit,
// words as they lie, and the scales and sums of these columns.
struct StepX {
  std::uint32_t low[4], high[4];
  float low_scale, high_scale, low_sum, high_sum;
};
// Which 16 columns of the eight of a step are the halves of the lane's unit: the lower half comes
// first, the upper half 1 << kOrder later.
template <int kOrder>
__device__ constexpr int low_columns(int lane) {
  return kOrder == 0 ? 2 * lane : kOrder == 1 ? lane / 2 * 4 + lane % 2 : lane;
}
// Where in a slot a row's planes are. Spans begin at multiples of 16 bytes of each plane but the
// fourth, for which `shift` is how much later that of this span begins.
struct RowInSlot {
  const std::uint8_t* plane[kMaxPlanes];
  int shift;
};
// Of 8 units.
struct PlaneBytes {
  int first, second, third, fourth;
};

__device__ inline void load_words(std::uint32_t* to, const std::uint8_t* from) {
  const uint4 x = *reinterpret_cast<const uint4*>(from);
  to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
}

// Sums of 16 or 32 products, of high and of low bytes.
template <bool kIsSigned>
class UnitSum {
 public:
  __device__ void add(const std::uint32_t (&w)[4], const std::uint32_t (&x)[4]) {
    multiply_add_int8<kIsSigned>(first_, w, x[0], x[1]);
    multiply_add_int8<kIsSigned>(second_, w, x[2], x[3]);
  }
  __device__ float total() const {
    return static_cast<float>(256 * (first_[0] + second_[2]) + (first_[1] + second_[3]));
  }

 private:
  int first_[4] = {}, second_[4] = {};
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

// ---- 32 weights a scale

struct IntegerQ8_0 {
  static constexpr bool kWantsSums = false;
  static constexpr int kOrder = 0;
  static constexpr PlaneBytes kPlaneBytes{256, 16, 0, 0};
  static __device__ void load(RawUnit& raw, const RowInSlot& row, int unit) {
    load_words(raw, row.plane[0] + unit * 32);
    load_words(raw + 4, row.plane[0] + unit * 32 + 16);
    raw[8] = reinterpret_cast<const std::uint16_t*>(row.plane[1])[unit];
  }
  static __device__ float multiply(const RawUnit& raw, const StepX& x, int) {
    const std::uint32_t low[4] = {raw[0], raw[1], raw[2], raw[3]},
                        high[4] = {raw[4], raw[5], raw[6], raw[7]};
    UnitSum<true> sum;
    sum.add(low, x.low), sum.add(high, x.high);
    return x.low_scale * low_half(raw[8]) * sum.total();
  }
};

// 4 or 5 bits, of which kZero stands for 0, or with a minimum.
template <bool kHasFifthBits, bool kHasMinimum, int kZero>
struct IntegerNibbles {
  static constexpr bool kWantsSums = true;
  static constexpr int kOrder = 0;
  static constexpr PlaneBytes kPlaneBytes{128, kHasMinimum ? 32 : 16, kHasFifthBits ? 32 : 0, 0};
  static __device__ void load(RawUnit& raw, const RowInSlot& row, int unit) {
    load_words(raw, row.plane[0] + unit * 16);
    raw[4] = kHasMinimum ? reinterpret_cast<const std::uint32_t*>(row.plane[1])[unit]
                         : reinterpret_cast<const std::uint16_t*>(row.plane[1])[unit];
    if constexpr (kHasFifthBits)
      raw[5] = reinterpret_cast<const std::uint32_t*>(row.plane[2])[unit];
  }
  static __device__ float multiply(const RawUnit& raw, const StepX& x, int) {
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
using IntegerQ4_0 = IntegerNibbles<false, false, 8>;
using IntegerQ4_1 = IntegerNibbles<false, true, 0>;
using IntegerQ5_0 = IntegerNibbles<true, false, 16>;
using IntegerQ5_1 = IntegerNibbles<true, true, 0>;

// ---- blocks of 256: scales of 16 weights, or of 32 that are halves of two units

// A unit's two scales and minima, of which there are eight of 6 bits each in a block.
template <bool kHasFifthBits>
struct IntegerK4 {
  static constexpr bool kWantsSums = true;
  static constexpr int kOrder = 1;
  static constexpr PlaneBytes kPlaneBytes{128, 16, kHasFifthBits ? 32 : 0, 0};
  static __device__ void load(RawUnit& raw, const RowInSlot& row, int unit) {
    load_words(raw, row.plane[0] + unit * 16);
    load_words(raw + 4, row.plane[1] + unit / 8 * 16);
    if constexpr (kHasFifthBits)
      raw[8] = reinterpret_cast<const std::uint32_t*>(row.plane[2])[unit];
  }
  static __device__ float multiply(const RawUnit& raw, const StepX& x, int unit) {
    std::uint32_t low[4], high[4];
    UnitSum<false> of_low, of_high;
    float high_factor = 1;
    if constexpr (kHasFifthBits) {
      split_nibbles(raw, low, high);
      add_upper_bits(FifthBits{raw[8]}, low, high);
    } else {
      high_factor = 0.0625f;  // they stay where they are
#pragma unroll
      for (int w = 0; w < 4; ++w) low[w] = raw[w] & kLowNibbles, high[w] = raw[w] & ~kLowNibbles;
    }
    of_low.add(low, x.low), of_high.add(high, x.high);
    // Scale, minimum, scale, minimum.
    const std::uint32_t bits =
        quick_k4_bits(raw[5], raw[6], raw[7], static_cast<std::uint32_t>(unit) / 2 % 4);
    const auto field = [bits](int i) { return static_cast<float>(bits >> 6 * i & 63u); };
    const float d = low_half(raw[4]), d_min = high_half(raw[4]);
    const float products = field(0) * (x.low_scale * of_low.total()) +
                           field(2) * (high_factor * x.high_scale * of_high.total());
    const float minima = field(1) * x.low_sum + field(3) * x.high_sum;
    return d * products - d_min * minima;
  }
};
using IntegerQ4_K = IntegerK4<false>;
using IntegerQ5_K = IntegerK4<true>;

struct IntegerQ6_K {
  static constexpr bool kWantsSums = true;
  static constexpr int kOrder = 2;
  static constexpr PlaneBytes kPlaneBytes{128, 16, 64, 2};
  static __device__ void load(RawUnit& raw, const RowInSlot& row, int unit) {
    load_words(raw, row.plane[0] + unit * 16);
    const uint2 upper = reinterpret_cast<const uint2*>(row.plane[2])[unit];
    raw[4] = upper.x, raw[5] = upper.y;
    raw[6] = reinterpret_cast<const std::uint16_t*>(row.plane[1])[unit];
    raw[7] = *reinterpret_cast<const std::uint16_t*>(row.plane[3] + row.shift + unit / 8 * 2);
  }
  static __device__ float multiply(const RawUnit& raw, const StepX& x, int) {
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
