// float16 and bfloat16 conversions against definitions that use no bit tricks.
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/half.h"
#include "support/catch.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// IEEE 754 section 3.4 for binary16, by ldexp.
double half_value(std::uint16_t h) {
  const int exponent = h >> 10 & 31;
  const int mantissa = h & 1023;
  double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  if (exponent == 31) magnitude = mantissa == 0 ? static_cast<double>(kInfinity) : std::nan("");
  return h & 0x8000 ? -magnitude : magnitude;
}

// The half nearest to a non-negative finite x, ties to even, by search; 65520 and above are
// infinite.
std::uint16_t nearest_half(double x) {
  std::uint16_t low = 0,
                high = 0x7c00;  // half_value(low) <= x < half_value(high), infinity being 65536
  const auto value = [](std::uint16_t h) { return h == 0x7c00 ? 65536.0 : half_value(h); };
  if (x >= 65536.0) return 0x7c00;
  while (high - low > 1) {
    const auto middle = static_cast<std::uint16_t>((low + high) / 2);
    (value(middle) <= x ? low : high) = middle;
  }
  const double below = x - value(low), above = value(high) - x;
  if (below != above) return below < above ? low : high;
  return low % 2 == 0 ? low : high;
}

std::uint32_t bits_of(float f) {
  return std::bit_cast<std::uint32_t>(f);
}

}  // namespace

TEST_CASE("half_to_float: all 65536 patterns have the defined value", "[half]") {
  int n_wrong = 0;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const double want = half_value(h);
    const float got = half_to_float(h);
    const bool right =
        std::isnan(want) ? std::isnan(got) : bits_of(got) == bits_of(static_cast<float>(want));
    n_wrong += right ? 0 : 1;
  }
  REQUIRE(n_wrong == 0);
}

#if defined(__FLT16_MAX__)
TEST_CASE("half_to_float: agrees with the compiler's _Float16", "[half]") {
  int n_wrong = 0;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const auto want = static_cast<float>(std::bit_cast<_Float16>(h));
    if (!std::isnan(want) && bits_of(half_to_float(h)) != bits_of(want)) ++n_wrong;
    if (std::isnan(want) && !std::isnan(half_to_float(h))) ++n_wrong;
  }
  REQUIRE(n_wrong == 0);
}
#endif

TEST_CASE("float_to_half: gives every half back", "[half]") {
  int n_wrong = 0;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto h = static_cast<std::uint16_t>(i);
    const std::uint16_t back = float_to_half(half_to_float(h));
    const bool nan = std::isnan(half_value(h));
    n_wrong += nan ? !std::isnan(half_to_float(back)) : back != h;
  }
  REQUIRE(n_wrong == 0);
}

TEST_CASE("float_to_half: rounds to nearest, ties to even", "[half]") {
  // Between every two neighbours: the middle, just below it and just above it.
  int n_wrong = 0;
  for (std::uint16_t h = 0; h < 0x7bff; ++h) {
    const auto middle =
        static_cast<float>((half_value(h) + half_value(static_cast<std::uint16_t>(h + 1))) / 2);
    for (const float x :
         {std::nextafter(middle, 0.0f), middle, std::nextafter(middle, kInfinity)}) {
      const std::uint16_t want = nearest_half(static_cast<double>(x));
      n_wrong += float_to_half(x) != want;
      n_wrong += float_to_half(-x) != (want | 0x8000);
    }
  }
  REQUIRE(n_wrong == 0);
}

TEST_CASE("float_to_half: random floats of all magnitudes", "[half]") {
  Random random(1);
  int n_wrong = 0;
  for (int i = 0; i < 200000; ++i) {
    const float x = std::bit_cast<float>(static_cast<std::uint32_t>(random.bits() & 0x7fffffffu));
    if (std::isnan(x)) continue;
    n_wrong += float_to_half(x) != nearest_half(static_cast<double>(x));
  }
  REQUIRE(n_wrong == 0);
}

TEST_CASE("float_to_half: the edges of the range", "[half]") {
  REQUIRE(float_to_half(65504.0f) == 0x7bff);
  REQUIRE(float_to_half(65519.996f) == 0x7bff);
  REQUIRE(float_to_half(65520.0f) == 0x7c00);
  REQUIRE(float_to_half(-1e30f) == 0xfc00);
  REQUIRE(float_to_half(kInfinity) == 0x7c00);
  REQUIRE(float_to_half(-kInfinity) == 0xfc00);
  REQUIRE(float_to_half(0x1p-25f) == 0);
  REQUIRE(float_to_half(-0x1p-25f) == 0x8000);
  REQUIRE(float_to_half(0x1.000002p-25f) == 1);
  REQUIRE(float_to_half(-0.0f) == 0x8000);
  REQUIRE(std::isnan(half_to_float(float_to_half(std::numeric_limits<float>::quiet_NaN()))));
  REQUIRE(std::isnan(half_to_float(float_to_half(std::bit_cast<float>(0x7f800001u)))));
}

TEST_CASE("bf16: every pattern converts exactly and back", "[half]") {
  int n_wrong = 0;
  for (std::uint32_t i = 0; i < 0x10000; ++i) {
    const auto b = static_cast<std::uint16_t>(i);
    const float f = bf16_to_float(b);
    n_wrong += bits_of(f) != i << 16;
    n_wrong += std::isnan(f) ? !std::isnan(bf16_to_float(float_to_bf16(f))) : float_to_bf16(f) != b;
  }
  REQUIRE(n_wrong == 0);
}

TEST_CASE("float_to_bf16: rounds to nearest, ties to even, overflow is infinite", "[half]") {
  int n_wrong = 0;
  for (std::uint32_t b = 0; b < 0x7f80;
       ++b) {  // finite; the last one's upper neighbour is infinity
    const std::uint32_t middle = b << 16 | 0x8000u;
    const std::uint32_t even = b % 2 == 0 ? b : b + 1;
    n_wrong += float_to_bf16(std::bit_cast<float>(middle)) != even;
    n_wrong += float_to_bf16(std::bit_cast<float>(middle - 1)) != b;
    n_wrong += float_to_bf16(std::bit_cast<float>(middle + 1)) != b + 1;
    n_wrong += float_to_bf16(std::bit_cast<float>(middle + 1 | 0x80000000u)) != (b + 1 | 0x8000u);
  }
  REQUIRE(n_wrong == 0);
  REQUIRE(std::isnan(bf16_to_float(float_to_bf16(std::bit_cast<float>(0x7f800001u)))));
  REQUIRE(float_to_bf16(-kInfinity) == 0xff80);
}

}  // namespace haikuda::test
