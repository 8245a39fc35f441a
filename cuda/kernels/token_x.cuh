// x of a product of the kernel that decodes a token, in shared memory as matrix units take it.
// Included by token.cu alone.
//
// A value is the sum of two pieces of 16 bits, high and low, which are columns of their own:
// nothing of it is lost that F32 would notice. A unit is 32 columns of a row of weights, four
// chunks of 8. A matrix takes the unit at once, chunks 0 and 2 as its rows 0-7, chunks 1 and 3 as
// its rows 8-15, and four columns of x: high and low of chunks 0 and 2, high and low of chunks 1
// and 3. What the upper rows and the latter columns have in common is dropped, as is the other way
// round.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "cuda/device/int8.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/device/tagged.cuh"
#include "cuda/kernels/token_feed.cuh"

namespace haikuda::cuda {

// What blocks hand on lies in the order in which threads put it in place: groups of the two pairs
// that have the same place in two chunks of a unit (place_in_units); of four neighbours, where
// weights are integers.
constexpr int kGroupValues = 4, kUnitGroups = kTokenUnit / kGroupValues;
template <class Type>
__device__ constexpr int place_of_pair(int pair) {
  return Type::kIsInteger ? pair : place_in_units(pair);
}
struct XGroup {
  float2 low, high;  // of chunk 0 or 1, of chunk 2 or 3
};
// Of group `group` of x; kIsActivation: written by an earlier kernel.
template <class Type, bool kIsActivation = false>
__device__ XGroup load_group(const float* x, int group) {
  const int chunk = group % 2, lane = group % kUnitGroups / 2;
  const int column = Type::kIsInteger ? kGroupValues * group
                                      : group / kUnitGroups * kTokenUnit + 8 * chunk + 2 * lane;
  const auto* low = reinterpret_cast<const float2*>(x + column);
  if constexpr (Type::kIsInteger && !kIsActivation) {
    const float4 values = *reinterpret_cast<const float4*>(low);
    return {{values.x, values.y}, {values.z, values.w}};
  }
  constexpr int kNext = Type::kIsInteger ? 1 : 8;
  return kIsActivation ? XGroup{__ldcg(low), __ldcg(low + kNext)} : XGroup{low[0], low[kNext]};
}

// How a value is split into two halves. Halves have an end, and become coarse near zero: what does
// not suit them is scaled.
struct SplitIntoHalves {
  static constexpr bool kHasRange = true;
  static __device__ void split(float2 x, std::uint32_t& high, std::uint32_t& low) {
    const __half2 h = __float22half2_rn(x);
    const float2 back = __half22float2(h);
    const __half2 l = __floats2half2_rn(x.x - back.x, x.y - back.y);
    high = reinterpret_cast<const std::uint32_t&>(h),
    low = reinterpret_cast<const std::uint32_t&>(l);
  }
};
struct SplitIntoBf16 {
  static constexpr bool kHasRange = false;
  static __device__ void split(float2 x, std::uint32_t& high, std::uint32_t& low) {
    const __nv_bfloat162 h = __float22bfloat162_rn(x);
    const float2 back = __bfloat1622float2(h);
    const __nv_bfloat162 l = __floats2bfloat162_rn(x.x - back.x, x.y - back.y);
    high = reinterpret_cast<const std::uint32_t&>(h),
    low = reinterpret_cast<const std::uint32_t&>(l);
  }
};

// Bytes of a unit: of its columns, of 32 each. Without the low pieces there are two, each of which
// is read as its neighbour as well.
__host__ __device__ constexpr int x_unit_bytes(bool has_low) {
  return has_low ? 128 : 64;
}
// What a lane reads of each unit: of column lane / 4, of eight, the last four of no meaning, the
// pairs lane % 4 of two chunks.
template <bool kHasLow>
__device__ inline int x_offset_of_lane(int lane) {
  return kHasLow ? lane % 16 * 8 : lane / 8 % 2 * 32 + lane % 4 * 8;
}

// Where x comes from, by groups: what is asked for, whether it is there, and what is made of it.
// Of a vector that other blocks hand on.
struct TokenX {
  static constexpr bool kHasGamma = false;

  const TaggedPair* in;
  unsigned tag;

  __device__ AskedPairs ask(int group) const { return ask_pairs(in + 2 * group); }
  __device__ bool is_there(const AskedPairs& asked) const {
    return has_pair_tag(asked.bits[0], tag) && has_pair_tag(asked.bits[1], tag);
  }
  __device__ XGroup take(const AskedPairs& asked, int) const {
    return {pair_of(asked.bits[0]), pair_of(asked.bits[1])};
  }
};
// The residual, to which such a vector is added where `in` is not null. Every block keeps the whole
// of it, in shared memory, by groups; a thread touches its own alone.
struct TokenResidual {
  static constexpr bool kHasGamma = true;

  const TaggedPair* in;
  unsigned tag;
  float4* residual;  // (cols / 4)

  __device__ AskedPairs ask(int group) const {
    return in != nullptr ? ask_pairs(in + 2 * group) : AskedPairs{};
  }
  __device__ bool is_there(const AskedPairs& asked) const {
    return in == nullptr || TokenX{in, tag}.is_there(asked);
  }
  __device__ XGroup take(const AskedPairs& asked, int group) const {
    float4 x = residual[group];
    if (in != nullptr) {
      const float2 low = pair_of(asked.bits[0]), high = pair_of(asked.bits[1]);
      x = make_float4(x.x + low.x, x.y + low.y, x.z + high.x, x.w + high.y);
      residual[group] = x;
    }
    return {{x.x, x.y}, {x.z, x.w}};
  }
};
// Of one thread, which asks again until it is there.
template <class Source, class Asked>
__device__ XGroup wait_for_group(const Source& in, Asked asked, int group) {
  for (Patience patience; !in.is_there(asked); asked = in.ask(group)) patience.spend();
  return in.take(asked, group);
}

// What the threads of a block learn while they put x in its place.
struct XFacts {
  float squares = 0;           // their sum over x, before gamma
  std::uint32_t greatest = 0;  // bits of the greatest |x|, after it
};
// Of its warps, in shared memory.
struct alignas(16) XFactsOfBlock {
  float squares[kTokenWarps];
  std::uint32_t greatest[kTokenWarps];

  // By all lanes of a warp.
  template <bool kHasRange>
  __device__ void tell(int thread, const XFacts& facts, bool wants_squares) {
    const std::uint32_t of_warp = kHasRange ? warp_max(facts.greatest) : 0;
    const float sum = wants_squares ? warp_sum(facts.squares) : 0;
    const int warp = thread / kWarpSize;
    if (thread % kWarpSize == 0) squares[warp] = sum, greatest[warp] = of_warp;
  }
  __device__ float sum_of_squares() const {
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kTokenWarps; ++w) sum += squares[w];
    return sum;
  }
  __device__ std::uint32_t greatest_of_all() const {
    std::uint32_t out = 0;
#pragma unroll
    for (int w = 0; w < kTokenWarps; ++w) out = max(out, greatest[w]);
    return out;
  }
};

// Puts a thread's groups of x in their place, times gamma where x is the residual, of which it has
// its first group's already, times `scale`.
// Units that the last slot of a tile has no weights for are zeros. The block needs a barrier before
// x is used.
template <class Type, int kLoadsAhead, class Source>
__device__ XFacts stage_groups(std::uint8_t* to,
                               const Source& in,
                               const TokenShape& shape,
                               const float* gamma,
                               const XGroup& first_factors,
                               float scale,
                               int thread) {
  const int n = shape.cols / kGroupValues;
  const auto put = [to](int group, uint2 high, uint2 low) {
    auto* column = reinterpret_cast<uint2*>(to + group / kUnitGroups * x_unit_bytes(true) +
                                            group % 2 * 64 + group % kUnitGroups / 2 * 8);
    column[0] = high, column[4] = low;
  };
  XFacts facts;
#pragma unroll 1  // instructions are fetched cold: small code is fast code
  for (int first = thread; first < n; first += kLoadsAhead * kTokenThreads) {
    AskedPairs asked[kLoadsAhead];
    XGroup factors[kLoadsAhead];
#pragma unroll
    for (int l = 0; l < kLoadsAhead; ++l) {
      // Without a condition, or registers that may have been written would be kept in all phases.
      const int group = min(first + l * kTokenThreads, n - 1);
      asked[l] = in.ask(group);
      if constexpr (Source::kHasGamma)
        factors[l] = l == 0 && first == thread ? first_factors : load_group<Type>(gamma, group);
    }
#pragma unroll
    for (int l = 0; l < kLoadsAhead; ++l) {
      const int group = first + l * kTokenThreads;
      if (group >= n) break;
      const XGroup x = wait_for_group(in, asked[l], group);
      float2 pairs[2] = {x.low, x.high};
      std::uint32_t high[2], low[2];
#pragma unroll
      for (int p = 0; p < 2; ++p) {
        float2& pair = pairs[p];
        if constexpr (Source::kHasGamma) {
          facts.squares += pair.x * pair.x + pair.y * pair.y;
          const float2 factor = p == 0 ? factors[l].low : factors[l].high;
          pair.x *= factor.x, pair.y *= factor.y;
        }
        if constexpr (Type::kHasRange)
          facts.greatest = max(facts.greatest, max(magnitude_bits(pair.x), magnitude_bits(pair.y)));
        Type::split(make_float2(scale * pair.x, scale * pair.y), high[p], low[p]);
      }
      put(group, make_uint2(high[0], high[1]), make_uint2(low[0], low[1]));
    }
  }
  // To the end of the last slot.
#pragma unroll 1
  for (int group = n + thread; group < shape.n_spans * shape.span_units * kUnitGroups;
       group += kTokenThreads)
    put(group, {}, {});
  return facts;
}

// With few instructions for a short x.
template <class Type, class Source>
__device__ XFacts stage_x(std::uint8_t* to,
                          const Source& in,
                          const TokenShape& shape,
                          const float* gamma,
                          const XGroup& first_factors,
                          float scale,
                          int thread) {
  return shape.cols <= kGroupValues * kTokenThreads
             ? stage_groups<Type, 1>(to, in, shape, gamma, first_factors, scale, thread)
             : stage_groups<Type, 4>(to, in, shape, gamma, first_factors, scale, thread);
}

// Whether halves hold x as it is, with this greatest value.
__device__ inline bool suits_halves(std::uint32_t greatest) {
  constexpr std::uint32_t kLeast = 0x3b800000, kMost = 0x47000000;  // 2^-8, 2^15
  return greatest - kLeast <= kMost - kLeast;
}
// A power of two that brings the greatest value where halves are at their best; 1 where that is 0
// or not finite.
__device__ inline float fitting_scale(std::uint32_t greatest) {
  if (suits_halves(greatest)) return 1;
  if (greatest == 0 || greatest >= 0x7f800000) return 1;
  // 2^13 / 2^exponent, which stays a normal number.
  const int exponent = max(static_cast<int>(greatest >> 23) - 127, -113);
  return __uint_as_float(static_cast<std::uint32_t>(13 - exponent + 127) << 23);
}
// 1 / a power of two.
__device__ inline float inverse_of_power(float x) {
  return __uint_as_float((254u << 23) - __float_as_uint(x));
}

}  // namespace haikuda::cuda
