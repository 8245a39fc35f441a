// The types of weights that the kernel which decodes a token multiplies: how a slot's row lies in
// shared memory, and a warp's product of its units. Included by token.cu alone.
//
// Lane (g, t) = (lane / 4, lane % 4) of a warp gives matrix units two neighbouring columns of each
// of the four chunks of a unit, of row g; products with chunks 0 and 2 come back as elements 0 and
// 1 of lane (g, 0), those with chunks 1 and 3 as elements 2 and 3 of lane (g, 1).
#pragma once

#include "cuda/device/decoders.cuh"
#include "cuda/kernels/token_x.cuh"

namespace haikuda::cuda {

// The sum of kChains sums, so that no product waits for the one before.
template <int kChains>
__device__ void total_of(float (&total)[4], const float (&sums)[kChains][4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    total[i] = sums[0][i];
#pragma unroll
    for (int c = 1; c < kChains; ++c) total[i] += sums[c][i];
  }
}

// Two bytes a weight, which matrix units take as they are: chunks are 8 neighbouring columns.
template <class Split,
          class OfType,
          void (*kMultiply)(float (&)[4], const std::uint32_t (&)[4], uint2)>
struct TokenPlain : Split {
  using Decoder = OfType;  // of an embedding
  static constexpr bool kIsInteger = false;
  static constexpr int kUnitBytes = 2 * kTokenUnit;

  static __device__ int offset_of_lane(int lane, int row_bytes) {
    return lane % kTokenTileRows * row_bytes + lane / kTokenTileRows * 16;
  }
  template <int kUnits>
  struct Weights {
    std::uint32_t of_unit[kUnits][4];
  };
  // Of the warp's units. Beyond unit `last` x is zero, whatever it meets.
  template <int kUnits>
  static __device__ void load(Weights<kUnits>& w, const std::uint8_t* weights, int last) {
    if (last < kUnits - 1) [[unlikely]] {
#pragma unroll
      for (int i = 0; i < kUnits; ++i)
        load_tiles(w.of_unit[i], weights + min(i, last) * kUnitBytes);
    } else {
#pragma unroll
      for (int i = 0; i < kUnits; ++i) load_tiles(w.of_unit[i], weights + i * kUnitBytes);
    }
  }
  // total = the products of the warp's units.
  template <int kUnits>
  static __device__ void multiply(float (&total)[4],
                                  const Weights<kUnits>& w,
                                  const uint2 (&x)[kUnits]) {
    constexpr int kChains = 3;
    float sums[kChains][4] = {};
#pragma unroll
    for (int i = 0; i < kUnits; ++i) kMultiply(sums[i % kChains], w.of_unit[i], x[i]);
    total_of(total, sums);
  }
};

__device__ inline void multiply_f16(float (&sum)[4], const std::uint32_t (&w)[4], uint2 x) {
  multiply_add(sum, w, x.x, x.y);
}
__device__ inline void multiply_bf16(float (&sum)[4], const std::uint32_t (&w)[4], uint2 x) {
  multiply_add_bf16(sum, w, x.x, x.y);
}
using TokenF16 = TokenPlain<SplitIntoHalves, DecodeF16, multiply_f16>;
using TokenBF16 = TokenPlain<SplitIntoBf16, DecodeBF16, multiply_bf16>;

// Quantized weights, of whatever type a step has: token_integers.cuh.
template <IntegerTypes kOfTypes>
struct TokenIntegers {
  static constexpr IntegerTypes kTypes = kOfTypes;
  static constexpr bool kIsInteger = true, kHasRange = false;
};

}  // namespace haikuda::cuda
