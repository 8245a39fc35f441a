// x of a product of the kernel that decodes a token, where it is handed on as halves: gates and
// ups. Included by token.cu alone.
#pragma once

#include "cuda/device/tagged_halves.cuh"
#include "cuda/kernels/token_x.cuh"

namespace haikuda::cuda {

// Puts a thread's part of them in its place, where they lie as they come, and zeros up to the end
// of the last slot. Levels other than 0 are told as a value that does not suit. The block needs a
// barrier before x is used.
__device__ inline XFacts stage_halves(
    std::uint8_t* to, const TaggedHalves* in, unsigned tag, const TokenShape& shape, int thread) {
  constexpr int kLoadsAhead = 3;
  const int n = shape.cols / 8, end = shape.n_spans * shape.span_units * kTokenUnit / 8;
  std::uint64_t levels = 0;
#pragma unroll 1
  for (int first = thread; first < n; first += kLoadsAhead * kTokenThreads) {
    AskedPairs asked[kLoadsAhead];
    const auto at = [&](int l) { return min(first + l * kTokenThreads, n - 1); };
#pragma unroll
    for (int l = 0; l < kLoadsAhead; ++l) asked[l] = ask_pairs(in + 2 * at(l));
    // What is not there is asked for again together: an answer takes long.
    bool is_there = false;
    for (Patience patience; !is_there; patience.spend()) {
      is_there = true;
#pragma unroll
      for (int l = 0; l < kLoadsAhead; ++l) {
        if (has_tag_of_halves(asked[l].bits[0], tag) && has_tag_of_halves(asked[l].bits[1], tag))
          continue;
        asked[l] = ask_pairs(in + 2 * at(l));
        is_there = false;
      }
    }
#pragma unroll
    for (int l = 0; l < kLoadsAhead; ++l) {
      levels |= asked[l].bits[0] | asked[l].bits[1];
      const uint2 a = halves_of(asked[l].bits[0]), b = halves_of(asked[l].bits[1]);
      reinterpret_cast<uint4*>(to)[at(l)] = make_uint4(a.x, a.y, b.x, b.y);
    }
  }
#pragma unroll 1
  for (int i = n + thread; i < end; i += kTokenThreads)
    reinterpret_cast<uint4*>(to)[i] = make_uint4(0, 0, 0, 0);
  XFacts facts;
  facts.greatest = (levels & kLevelOfHalves) == 0 ? __float_as_uint(1.0f) : ~0u;
  return facts;
}
// The same of values on several levels, which are there: on the greatest of them. What the values
// are multiplied by.
__device__ inline float stage_levels(std::uint8_t* to,
                                     const TaggedHalves* in,
                                     const TokenShape& shape,
                                     XFactsOfBlock& facts,
                                     int thread) {
  const int n = shape.cols / 4;
  int greatest = kLeastLevel;
#pragma unroll 1
  for (int i = thread; i < n; i += kTokenThreads)
    greatest = max(greatest, level_of_halves(ask_value(in + i)));
  XFacts mine;
  mine.greatest = static_cast<std::uint32_t>(greatest - kLeastLevel);
  sync_consumers();  // all have read the facts
  facts.tell<true>(thread, mine, false);
  sync_consumers();
  const int level = static_cast<int>(facts.greatest_of_all()) + kLeastLevel;
#pragma unroll 1
  for (int i = thread; i < n; i += kTokenThreads) {
    const std::uint64_t bits = ask_value(in + i);
    const float scale = power_of_level(max(level_of_halves(bits) - level, -kMostLevel));
    const auto scaled = [scale](std::uint32_t pair) {
      const float2 x = __half22float2(reinterpret_cast<const __half2&>(pair));
      return pack_halves(scale * x.x, scale * x.y);
    };
    const uint2 halves = halves_of(bits);
    reinterpret_cast<uint2*>(to)[i] = make_uint2(scaled(halves.x), scaled(halves.y));
  }
  return power_of_level(-level);
}

}  // namespace haikuda::cuda
