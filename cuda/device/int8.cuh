// Activations in int8, 32 values a scale, and integer dot products.
#pragma once

#include <cstdint>

#include "cuda/device/reduce.cuh"

namespace haikuda::cuda {

// sum + the products of the four signed bytes of a and b.
__device__ inline int dot4(std::uint32_t a, std::uint32_t b, int sum) {
  return __dp4a(static_cast<int>(a), static_cast<int>(b), sum);
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
struct Int8Scale {
  float scale, inverse;
};
__device__ inline Int8Scale int8_scale(std::uint32_t greatest) {
  const float x = __uint_as_float(greatest);
  // Below 2^-120 the inverse would overflow: such values count as 0.
  return {x < 0x1p-120f ? 0.0f : x / 127.0f, x < 0x1p-120f ? 0.0f : 127.0f / x};
}
// -127 … 127; 0 for NaN.
__device__ inline int to_int8(float x, float inverse) {
  const float scaled = x * inverse;
  return scaled == scaled ? __float2int_rn(scaled) : 0;
}

}  // namespace haikuda::cuda
