// Powers of two that bring values into half's range without loss.
#pragma once

#include <cstdint>

namespace haikuda::cuda {

constexpr float kSafeHalfMin =
    0x1p-4f;  // below it a row's small elements would be rounded to multiples of 2^-24
constexpr float kSafeHalfMax = 0x1p15f;  // half's greatest number is 65504
constexpr int kWantedHalfExponent = 13;

// The e for which values up to `magnitude`, times 2^e, suit half: 0 between 2^-4 and 2^15 (or for 0
// and what is not finite), otherwise such that the greatest lies in [2^13, 2^14). -126 <= e <= 126.
__device__ inline int half_exponent(float magnitude) {
  if (magnitude == 0 || isinf(magnitude) ||
      (magnitude >= kSafeHalfMin && magnitude <= kSafeHalfMax))
    return 0;
  const int exponent =
      static_cast<int>(__float_as_uint(magnitude) >> 23) - 127;  // -127 for subnormals
  return min(kWantedHalfExponent - exponent, 126);
}
// -126 <= e <= 127
__device__ inline float power_of_two(int e) {
  return __uint_as_float(static_cast<std::uint32_t>(e + 127) << 23);
}

}  // namespace haikuda::cuda
