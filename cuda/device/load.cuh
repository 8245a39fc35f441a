// Loads and stores of several elements at once, and conversions of bit patterns.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

namespace haikuda::cuda {

// Four little-endian bytes at an address of the given alignment: 4, 2 or 1. A block of 18 or 34
// bytes is aligned to 2 only, and a wider load than that faults.
template <int kAlignment>
__device__ inline std::uint32_t load_u32(const void* address) {
  if constexpr (kAlignment % 4 == 0) {
    return *static_cast<const std::uint32_t*>(address);
  } else if constexpr (kAlignment == 2) {
    const auto* p = static_cast<const std::uint16_t*>(address);
    return p[0] | static_cast<std::uint32_t>(p[1]) << 16;
  } else {
    const auto* p = static_cast<const std::uint8_t*>(address);
    return p[0] | static_cast<std::uint32_t>(p[1]) << 8 | static_cast<std::uint32_t>(p[2]) << 16 |
           static_cast<std::uint32_t>(p[3]) << 24;
  }
}

__device__ inline float half_bits_to_float(std::uint16_t bits) {
  return __half2float(__ushort_as_half(bits));
}
__device__ inline float bf16_bits_to_float(std::uint16_t bits) {
  return __uint_as_float(static_cast<std::uint32_t>(bits) << 16);
}
// Round to nearest, ties to even; NaN stays NaN. As float_to_bf16 of base/half.h.
__device__ inline std::uint16_t float_to_bf16_bits(float f) {
  const std::uint32_t bits = __float_as_uint(f);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// Where a BF16 value is stored: a type of its own, so that store() below knows it from an integer.
struct Bf16 {
  std::uint16_t bits;
};

__device__ inline void store(float* out, float value) {
  *out = value;
}
__device__ inline void store(__half* out, float value) {
  *out = __float2half_rn(value);
}
__device__ inline void store(Bf16* out, float value) {
  out->bits = float_to_bf16_bits(value);
}

// A run of neighbouring elements. Runs of 4 are stored at once: `out` is aligned to 4 elements.
template <class T>
__device__ inline void store_run(T* out, const float (&run)[1]) {
  store(out, run[0]);
}
__device__ inline void store_run(float* out, const float (&run)[4]) {
  *reinterpret_cast<float4*>(out) = make_float4(run[0], run[1], run[2], run[3]);
}
template <class T>
__device__ inline void store_run(T* out, const float (&run)[4]) {
  static_assert(sizeof(T) == 2);
  union {
    T values[4];
    uint2 bits;
  };
#pragma unroll
  for (int i = 0; i < 4; ++i) store(&values[i], run[i]);
  *reinterpret_cast<uint2*>(out) = bits;
}

// run *= factors, aligned as x below.
__device__ inline void multiply_run(float (&run)[1], const float* factors) {
  run[0] *= factors[0];
}
__device__ inline void multiply_run(float (&run)[4], const float* factors) {
  const float4 v = *reinterpret_cast<const float4*>(factors);
  run[0] *= v.x, run[1] *= v.y, run[2] *= v.z, run[3] *= v.w;
}

// run · x. Runs of 4 read x at once: it is aligned to 16 bytes.
__device__ inline float dot_run(const float (&run)[1], const float* x) {
  return run[0] * x[0];
}
__device__ inline float dot_run(const float (&run)[4], const float* x) {
  const float4 v = *reinterpret_cast<const float4*>(x);
  return fmaf(run[3], v.w, fmaf(run[2], v.z, fmaf(run[1], v.y, run[0] * v.x)));
}

}  // namespace haikuda::cuda
