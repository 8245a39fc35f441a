// Activations as integers, 32 values a scale (planes.h), and integer dot products.
#pragma once

#include <cstdint>

#include "cuda/device/planes.h"
#include "cuda/device/reduce.cuh"

namespace haikuda::cuda {

// sum + the products of the four signed bytes of a and b.
__device__ inline int dot4(std::uint32_t a, std::uint32_t b, int sum) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
}

// The same of unsigned bytes of a.
__device__ inline int dot4_of_unsigned(std::uint32_t a, std::uint32_t b, int sum) {
  int out;
  asm("dp4a.u32.s32 %0, %1, %2, %3;" : "=r"(out) : "r"(a), "r"(b), "r"(sum));
  return out;
}

// |i| < 2^22 as a float, exactly, by two instructions of full rate instead of a conversion.
__device__ inline float small_int_to_float(int i) {
  return __uint_as_float(static_cast<std::uint32_t>(i + 0x4b400000)) - 12582912.0f;
}

// The sum and the greatest of `value` over groups of kSize neighbouring lanes, for all lanes of a
// warp.
template <int kSize>
__device__ inline int group_sum(int value) {
#pragma unroll
  for (int offset = kSize / 2; offset > 0; offset /= 2)
    value += __shfl_xor_sync(kAllLanes, value, offset);
  return value;
}
template <int kSize>
__device__ inline std::uint32_t group_max(std::uint32_t value) {
#pragma unroll
  for (int offset = kSize / 2; offset > 0; offset /= 2)
    value = max(value, __shfl_xor_sync(kAllLanes, value, offset));
  return value;
}

// Magnitudes as bits are ordered as the numbers are, infinity above all and NaN above infinity: so
// the scale of a block that holds one is not finite either.
__device__ inline std::uint32_t magnitude_bits(float x) {
  return __float_as_uint(x) & 0x7fffffffu;
}

// The scale of values up to the given magnitude, and what they are multiplied by.
struct IntegerScale {
  float scale, inverse;
};
__device__ inline IntegerScale integer_scale(std::uint32_t greatest) {
  constexpr float kLevels = kActivationPlanes == 1 ? 127 : 32512;
  const float x = __uint_as_float(greatest);
  // Below 2^-110 the inverse would overflow: such values count as 0.
  return {x < 0x1p-110f ? 0.0f : x / kLevels, x < 0x1p-110f ? 0.0f : kLevels / x};
}
// 0 for NaN.
__device__ inline int to_integer(float x, float inverse) {
  const float scaled = x * inverse;
  return scaled == scaled ? __float2int_rn(scaled) : 0;
}
// The byte of q that goes to plane 0 or 1.
__device__ inline std::uint32_t plane_byte(int q, int plane) {
  const int first = kActivationPlanes == 1 ? q : (q + 128) >> 8;
  return static_cast<std::uint32_t>(plane == 0 ? first : q - 256 * first) & 0xffu;
}

// 16 activations.
struct IntVector {
  uint4 plane[kActivationPlanes];
};
__device__ inline std::uint32_t word_of(const uint4& v, int i) {
  return i == 0 ? v.x : i == 1 ? v.y : i == 2 ? v.z : v.w;
}
// Sums of products of four weights at a time with each plane.
struct IntSum {
  int plane[kActivationPlanes] = {};

  __device__ void add(std::uint32_t weights, const IntVector& x, int word) {
#pragma unroll
    for (int p = 0; p < kActivationPlanes; ++p)
      plane[p] = dot4(weights, word_of(x.plane[p], word), plane[p]);
  }
  // |weight| <= 128 over at most 32 weights, or <= 31 · 63 over 16, stay below 2^31.
  __device__ int total() const {
    return kActivationPlanes == 1 ? plane[0] : 256 * plane[0] + plane[kActivationPlanes - 1];
  }
};
// As a float: one plane's sums of up to 32 products are below 2^22.
__device__ inline float total_to_float(int total) {
  return kActivationPlanes == 1 ? small_int_to_float(total) : static_cast<float>(total);
}

}  // namespace haikuda::cuda
