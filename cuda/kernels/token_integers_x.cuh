// x of a product of the kernel that decodes a token, where weights are quantized: integers of 16
// bits, 32 values a scale (device/int8.cuh). Included by token.cu alone.
//
// x of 256 columns is a step: the high, then the low bytes of each of its sixteen 16 columns, in an
// order in which all lanes that read together do so from different banks; then for each 32 columns
// their scale, and the sums of their even and odd 16. Types whose rows put other columns together
// find them within the same step.
#pragma once

#include <type_traits>

#include "cuda/device/int8.cuh"
#include "cuda/kernels/token_x.cuh"

namespace haikuda::cuda {

// Where the c-th 16 columns of a step are, of each plane. Banks of c, of four bits, are its upper
// three, inverted where the last is set: so those are different of all even and all odd c, of those
// that have bit 1 or 2 or 3 set or not, and of those that halves_change() selects
// (token_integer_types.cuh).
__device__ constexpr int place_of_columns(int c) {
  return c % 2 * (kStepPlane / 2) + (c / 2 ^ (c % 2 * 7)) * 16;
}

// Where the k-th four columns go.
struct IntegerPlace {
  int words;  // of the high bytes
  int facts;  // of the unit
  int half, word;

  __device__ explicit IntegerPlace(int k) : half(k >> 2 & 1), word(k & 3) {
    const unsigned unit = static_cast<unsigned>(k) / kUnitGroups;
    const int step = static_cast<int>(unit / kStepUnits) * kStepXBytes,
              in_step = static_cast<int>(unit % kStepUnits);
    words = step + place_of_columns(2 * in_step + half) + word * 4;
    facts = step + kStepFacts + in_step * 16;
    asm volatile("" : "+r"(words), "+r"(facts));  // now, while x is awaited
  }
  // Of the group that is so many times kTokenThreads further: whole steps.
  __device__ IntegerPlace after(int n_rounds) const {
    constexpr int kSteps = kTokenThreads / (kStepUnits * kUnitGroups);
    IntegerPlace out(*this);
    out.words += n_rounds * kSteps * kStepXBytes, out.facts += n_rounds * kSteps * kStepXBytes;
    return out;
  }
};

// 1 / x of a normal number, to an ulp.
__device__ inline float quick_inverse(float x) {
  float out;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}
// Of values up to a magnitude. Below 2^-110 they count as 0, since the inverse would overflow.
__device__ inline IntegerScale quick_integer_scale(std::uint32_t greatest) {
  constexpr std::uint32_t kLeast = 0x08800000;
  static_assert(kActivationPlanes == 2);
  const float scale = __uint_as_float(max(greatest, kLeast)) * (1.0f / 32512);
  return {scale, quick_inverse(scale)};
}
// Four values as bytes, and the sum of the integers; of a NaN whatever, since its scale is one.
struct FourIntegers {
  std::uint32_t high, low;
  int sum;

  __device__ FourIntegers(const XGroup& x, float inverse) {
    // q + 128 in the last bits of a float: byte 1 is the high one, byte 0 the low one plus 128.
    constexpr float kShift = 12582912.0f + 128.0f;
    constexpr std::uint32_t kBits = 0x4b400000u + 128u;
    const std::uint32_t a = __float_as_uint(fmaf(x.low.x, inverse, kShift)),
                        b = __float_as_uint(fmaf(x.low.y, inverse, kShift)),
                        c = __float_as_uint(fmaf(x.high.x, inverse, kShift)),
                        d = __float_as_uint(fmaf(x.high.y, inverse, kShift));
    const std::uint32_t first = __byte_perm(a, b, 0x5140), second = __byte_perm(c, d, 0x5140);
    low = __byte_perm(first, second, 0x5410) ^ 0x80808080u;
    high = __byte_perm(first, second, 0x7632);
    sum = static_cast<int>(a + b + c + d - 4 * kBits);
  }
};

// Zeros behind the last unit, up to a step of nothing else.
__device__ inline void clear_behind(std::uint8_t* to, int n_units, int thread) {
  const int unit = n_units + thread;
  if (unit >= (steps_of_units(n_units) + 1) * kStepUnits) return;
  std::uint8_t* step = to + unit / kStepUnits * kStepXBytes;
  const int in_step = unit % kStepUnits;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    auto* words = reinterpret_cast<uint4*>(step + place_of_columns(2 * in_step + half));
    words[0] = words[kStepPlane / 16] = make_uint4(0, 0, 0, 0);
  }
  *reinterpret_cast<uint4*>(step + kStepFacts + in_step * 16) = make_uint4(0, 0, 0, 0);
}

// Puts a thread's groups of x in their place, times gamma where x is the residual. Columns are in
// order. The block needs a barrier before x is used. All lanes of a warp wait together: what they
// find out about a unit they tell each other. Of several groups at once none waits for the one
// before. Tells the sum of the squares, before gamma.
template <class Type, class Source>
__device__ __forceinline__ XFacts stage_integers(std::uint8_t* to,
                                                 const Source& in,
                                                 const TokenShape& shape,
                                                 const float* gamma,
                                                 const XGroup& first_factors,
                                                 int thread) {
  constexpr int kLoadsAhead = Source::kHasGamma ? 4 : 5;
  const int n = shape.cols / kGroupValues;
  const bool wants_sums = shape.wants_sums;
  clear_behind(to, shape.cols / kTokenUnit, thread);
  XFacts facts;
#pragma unroll 1
  for (int first = thread; first - thread % kWarpSize < n; first += kLoadsAhead * kTokenThreads) {
    AskedPairs asked[kLoadsAhead] = {};
    XGroup factors[kLoadsAhead] = {};
    const auto ask = [&](int l) { asked[l] = in.ask(min(first + l * kTokenThreads, n - 1)); };
    const auto ask_factors = [&](int l) {
      if constexpr (Source::kHasGamma)
        factors[l] = l == 0 && first == thread
                         ? first_factors
                         : load_group<Type>(gamma, min(first + l * kTokenThreads, n - 1));
    };
    const bool has_more = first - thread % kWarpSize + kTokenThreads < n;
    ask(0), ask_factors(0);
    if (has_more) {
#pragma unroll
      for (int l = 1; l < kLoadsAhead; ++l) ask(l), ask_factors(l);
    }
    const IntegerPlace place(first);
    for (Patience patience;; patience.spend()) {
      bool has_all = in.is_there(asked[0]);
      if (has_more) {
#pragma unroll
        for (int l = 1; l < kLoadsAhead; ++l) has_all = has_all && in.is_there(asked[l]);
      }
      if (__all_sync(kAllLanes, has_all)) break;
      if (!in.is_there(asked[0])) ask(0);
      if (has_more) {
#pragma unroll
        for (int l = 1; l < kLoadsAhead; ++l)
          if (!in.is_there(asked[l])) ask(l);
      }
    }
    const auto put = [&]<int kN>(std::integral_constant<int, kN>) __attribute__((always_inline)) {
      XGroup x[kN];
      std::uint32_t greatest[kN];
      int sums[kN];
#pragma unroll
      for (int l = 0; l < kN; ++l) {
        const int group = first + l * kTokenThreads;
        x[l] = group < n ? in.take(asked[l], group) : XGroup{};
        if constexpr (Source::kHasGamma) {
          facts.squares += x[l].low.x * x[l].low.x + x[l].low.y * x[l].low.y;
          facts.squares += x[l].high.x * x[l].high.x + x[l].high.y * x[l].high.y;
          x[l].low.x *= factors[l].low.x, x[l].low.y *= factors[l].low.y;
          x[l].high.x *= factors[l].high.x, x[l].high.y *= factors[l].high.y;
        }
        greatest[l] = max(max(magnitude_bits(x[l].low.x), magnitude_bits(x[l].low.y)),
                          max(magnitude_bits(x[l].high.x), magnitude_bits(x[l].high.y)));
      }
#pragma unroll
      for (int offset = kUnitGroups / 2; offset > 0; offset /= 2)
#pragma unroll
        for (int l = 0; l < kN; ++l)
          greatest[l] = max(greatest[l], __shfl_xor_sync(kAllLanes, greatest[l], offset));
#pragma unroll
      for (int l = 0; l < kN; ++l) {
        const FourIntegers q(x[l], quick_integer_scale(greatest[l]).inverse);
        sums[l] = q.sum;
        if (first + l * kTokenThreads >= n) continue;
        auto* words = reinterpret_cast<std::uint32_t*>(to + place.after(l).words);
        words[0] = q.high, words[kStepPlane / 4] = q.low;
      }
      if (wants_sums) {
#pragma unroll
        for (int offset = kUnitGroups / 4; offset > 0; offset /= 2)
#pragma unroll
          for (int l = 0; l < kN; ++l) sums[l] += __shfl_xor_sync(kAllLanes, sums[l], offset);
      }
      if (place.word != 0) return;
#pragma unroll
      for (int l = 0; l < kN; ++l) {
        if (first + l * kTokenThreads >= n) break;
        const float scale = quick_integer_scale(greatest[l]).scale;
        auto* of_unit = reinterpret_cast<float*>(to + place.after(l).facts);
        if (place.half == 0) of_unit[0] = scale;
        of_unit[1 + place.half] = scale * static_cast<float>(sums[l]);
      }
    };
    if (has_more)
      put(std::integral_constant<int, kLoadsAhead>{});
    else
      put(std::integral_constant<int, 1>{});
  }
  return facts;
}

}  // namespace haikuda::cuda
