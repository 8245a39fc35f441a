// One decoder for each type of weight. A row is cut into units: what one thread decodes at a time,
// the elements that share a few neighbouring bytes. A unit is kRuns runs of kRun neighbouring
// elements, kStride apart:
//   out[r][i] is element first_column(unit) + r * kStride + i of the row; units cover a row exactly
//   once.
// Values are those of quant/dequantize.cpp bit for bit: the __f*_rn intrinsics are never fused to
// an FMA.
#pragma once

#include <cstdint>

#include "cuda/device/load.cuh"
#include "quant/blocks.h"

namespace haikuda::cuda {

// ---- plain types

// Where rows are multiples of 16 bytes: 8 elements a unit.
struct VectorUnits {
  static constexpr int kRuns = 2, kRun = 4, kStride = 4;
  static __device__ int first_column(int unit) { return 8 * unit; }
};
// Any size: one element a unit.
struct ScalarUnits {
  static constexpr int kRuns = 1, kRun = 1, kStride = 1;
  static __device__ int first_column(int unit) { return unit; }
};

struct DecodeF32 : VectorUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float4 v = reinterpret_cast<const float4*>(row)[2 * unit + r];
      out[r][0] = v.x, out[r][1] = v.y, out[r][2] = v.z, out[r][3] = v.w;
    }
  }
};
struct DecodeF32Scalar : ScalarUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[1][1]) {
    out[0][0] = reinterpret_cast<const float*>(row)[unit];
  }
};

template <float (*kToFloat)(std::uint16_t)>
struct DecodeTwoBytes : VectorUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const uint4 v = reinterpret_cast<const uint4*>(row)[unit];
    const std::uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 8; ++i)
      out[i / 4][i % 4] =
          kToFloat(static_cast<std::uint16_t>(words[i / 2] >> 16 * (i % 2) & 0xffffu));
  }
};
template <float (*kToFloat)(std::uint16_t)>
struct DecodeTwoBytesScalar : ScalarUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[1][1]) {
    out[0][0] = kToFloat(reinterpret_cast<const std::uint16_t*>(row)[unit]);
  }
};

// ---- blocks of 32

// Four bytes of two nibbles each: elements 4g … 4g + 3 of a block (low) and 16 further (high).
struct NibbleUnits {
  static constexpr int kRuns = 2, kRun = 4, kStride = 16;
  static __device__ int first_column(int unit) { return unit / 4 * kSmallBlock + unit % 4 * 4; }
};

// Element i of the r-th run in four bytes of nibbles.
__device__ inline int nibble(std::uint32_t bytes, int r, int i) {
  return static_cast<int>(bytes >> (8 * i + 4 * r) & 15u);
}

struct DecodeQ4_0 : NibbleUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockQ4_0& block = reinterpret_cast<const BlockQ4_0*>(row)[unit / 4];
    const float d = half_bits_to_float(block.d);
    const std::uint32_t bytes = load_u32<2>(block.qs + unit % 4 * 4);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[r][i] = __fmul_rn(d, static_cast<float>(nibble(bytes, r, i) - 8));
  }
};

struct DecodeQ4_1 : NibbleUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockQ4_1& block = reinterpret_cast<const BlockQ4_1*>(row)[unit / 4];
    const float d = half_bits_to_float(block.d);
    const float m = half_bits_to_float(block.m);
    const std::uint32_t bytes = load_u32<4>(block.qs + unit % 4 * 4);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[r][i] = __fadd_rn(__fmul_rn(d, static_cast<float>(nibble(bytes, r, i))), m);
  }
};

// The fifth bit of element i of run r, as 0 or 16. Bit j of qh belongs to element j of the block.
__device__ inline int fifth_bit(std::uint32_t qh, int group, int r, int i) {
  return static_cast<int>((qh >> (16 * r + 4 * group + i) & 1u) << 4);
}

struct DecodeQ5_0 : NibbleUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockQ5_0& block = reinterpret_cast<const BlockQ5_0*>(row)[unit / 4];
    const int group = unit % 4;
    const float d = half_bits_to_float(block.d);
    const std::uint32_t qh = load_u32<2>(block.qh);
    const std::uint32_t bytes = load_u32<2>(block.qs + group * 4);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q = nibble(bytes, r, i) | fifth_bit(qh, group, r, i);
        out[r][i] = __fmul_rn(d, static_cast<float>(q - 16));
      }
  }
};

struct DecodeQ5_1 : NibbleUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockQ5_1& block = reinterpret_cast<const BlockQ5_1*>(row)[unit / 4];
    const int group = unit % 4;
    const float d = half_bits_to_float(block.d);
    const float m = half_bits_to_float(block.m);
    const std::uint32_t qh = load_u32<4>(block.qh);
    const std::uint32_t bytes = load_u32<4>(block.qs + group * 4);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q = nibble(bytes, r, i) | fifth_bit(qh, group, r, i);
        out[r][i] = __fadd_rn(__fmul_rn(d, static_cast<float>(q)), m);
      }
  }
};

// Eight neighbouring bytes of a block.
struct DecodeQ8_0 {
  static constexpr int kRuns = 2, kRun = 4, kStride = 4;
  static __device__ int first_column(int unit) { return 8 * unit; }
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockQ8_0& block = reinterpret_cast<const BlockQ8_0*>(row)[unit / 4];
    const float d = half_bits_to_float(block.d);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const std::uint32_t bytes = load_u32<2>(block.qs + unit % 4 * 8 + 4 * r);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[r][i] =
            __fmul_rn(d, static_cast<float>(static_cast<std::int8_t>(bytes >> 8 * i & 0xffu)));
    }
  }
};

// ---- tables of 16 values

// Four table entries as the bytes of a word.
__host__ __device__ constexpr std::uint32_t table_word(const CodeTable& table, int word) {
  std::uint32_t out = 0;
  for (int i = 0; i < 4; ++i)
    out |= static_cast<std::uint32_t>(static_cast<std::uint8_t>(table.values[4 * word + i]))
           << 8 * i;
  return out;
}

// Entry `code` (0 … 15) of a table held in four words: registers, no memory.
__device__ inline float look_up(const std::uint32_t (&table)[4], int code) {
  const unsigned selector = static_cast<unsigned>(code) & 7u;
  const std::uint32_t low = __byte_perm(table[0], table[1], selector);
  const std::uint32_t high = __byte_perm(table[2], table[3], selector);
  return static_cast<float>(static_cast<std::int8_t>((code < 8 ? low : high) & 0xffu));
}

struct Iq4Table {
  static constexpr std::uint32_t kWords[4] = {table_word(kIq4Values, 0), table_word(kIq4Values, 1),
                                              table_word(kIq4Values, 2), table_word(kIq4Values, 3)};
};
struct Mxfp4Table {
  static constexpr std::uint32_t kWords[4] = {
      table_word(kMxfp4Values, 0), table_word(kMxfp4Values, 1), table_word(kMxfp4Values, 2),
      table_word(kMxfp4Values, 3)};
};

template <class Table>
__device__ inline void decode_codes(std::uint32_t bytes, float scale, float (&out)[2][4]) {
  const std::uint32_t table[4] = {Table::kWords[0], Table::kWords[1], Table::kWords[2],
                                  Table::kWords[3]};
#pragma unroll
  for (int r = 0; r < 2; ++r)
#pragma unroll
    for (int i = 0; i < 4; ++i) out[r][i] = __fmul_rn(scale, look_up(table, nibble(bytes, r, i)));
}

struct DecodeIQ4_NL : NibbleUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockIQ4_NL& block = reinterpret_cast<const BlockIQ4_NL*>(row)[unit / 4];
    decode_codes<Iq4Table>(load_u32<2>(block.qs + unit % 4 * 4), half_bits_to_float(block.d), out);
  }
};

struct DecodeMXFP4 : NibbleUnits {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockMXFP4& block = reinterpret_cast<const BlockMXFP4*>(row)[unit / 4];
    // 2^(e - 128); e 0 and 1 are subnormal.
    const std::uint32_t bits =
        block.e < 2 ? 0x00200000u << block.e : static_cast<std::uint32_t>(block.e - 1) << 23;
    decode_codes<Mxfp4Table>(load_u32<1>(block.qs + unit % 4 * 4), __uint_as_float(bits), out);
  }
};

// ---- blocks of 256

// Sub-blocks of 32 whose elements lie as in blocks of 32.
struct DecodeIQ4_XS {
  static constexpr int kRuns = 2, kRun = 4, kStride = 16;
  static __device__ int first_column(int unit) { return unit / 4 * 32 + unit % 4 * 4; }
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockIQ4_XS& block = reinterpret_cast<const BlockIQ4_XS*>(row)[unit / 32];
    const int s = unit / 4 % 8;
    const int low = block.scales_l[s / 2] >> (4 * (s % 2)) & 15;
    const int high = block.scales_h >> (2 * s) & 3;
    const float scale =
        __fmul_rn(half_bits_to_float(block.d), static_cast<float>((low | high << 4) - 32));
    decode_codes<Iq4Table>(load_u32<4>(block.qs + 16 * s + unit % 4 * 4), scale, out);
  }
};

// Four neighbouring bytes l … l + 3 of the 32 that hold 64 elements: low nibbles l …, high nibbles
// 32 + l ….
struct K4Units {
  static constexpr int kRuns = 2, kRun = 4, kStride = 32;
  static __device__ int first_column(int unit) { return unit / 8 * 64 + unit % 8 * 4; }
};

struct ScaleMin {
  int scale, minimum;
};
// Those of sub-block s; get_scale_min_k4 of llama.cpp's ggml-quants.c.
__device__ inline ScaleMin scale_min_k4(const std::uint8_t (&packed)[12], int s) {
  if (s < 4) return {packed[s] & 63, packed[s + 4] & 63};
  return {(packed[s + 4] & 15) | packed[s - 4] >> 6 << 4, packed[s + 4] >> 4 | packed[s] >> 6 << 4};
}

struct DecodeQ4_K : K4Units {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockQ4_K& block = reinterpret_cast<const BlockQ4_K*>(row)[unit / 32];
    const int chunk = unit / 8 % 4;
    const float d = half_bits_to_float(block.d);
    const float dmin = half_bits_to_float(block.dmin);
    const std::uint32_t bytes = load_u32<4>(block.qs + 32 * chunk + unit % 8 * 4);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const ScaleMin k4 = scale_min_k4(block.scales, 2 * chunk + r);
      const float scale = __fmul_rn(d, static_cast<float>(k4.scale));
      const float minimum = __fmul_rn(dmin, static_cast<float>(k4.minimum));
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[r][i] = __fsub_rn(__fmul_rn(scale, static_cast<float>(nibble(bytes, r, i))), minimum);
    }
  }
};

struct DecodeQ5_K : K4Units {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[2][4]) {
    const BlockQ5_K& block = reinterpret_cast<const BlockQ5_K*>(row)[unit / 32];
    const int chunk = unit / 8 % 4;
    const float d = half_bits_to_float(block.d);
    const float dmin = half_bits_to_float(block.dmin);
    const std::uint32_t bytes = load_u32<4>(block.qs + 32 * chunk + unit % 8 * 4);
    const std::uint32_t qh = load_u32<4>(block.qh + unit % 8 * 4);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int s = 2 * chunk + r;
      const ScaleMin k4 = scale_min_k4(block.scales, s);
      const float scale = __fmul_rn(d, static_cast<float>(k4.scale));
      const float minimum = __fmul_rn(dmin, static_cast<float>(k4.minimum));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q = nibble(bytes, r, i) | static_cast<int>((qh >> (8 * i + s) & 1u) << 4);
        out[r][i] = __fsub_rn(__fmul_rn(scale, static_cast<float>(q)), minimum);
      }
    }
  }
};

// Bytes l … l + 3 of the 32 that hold 128 elements, two bits each: bits 2k of byte l are element 32
// k + l.
struct K2Units {
  static constexpr int kRuns = 4, kRun = 4, kStride = 32;
  static __device__ int first_column(int unit) { return unit / 8 * 128 + unit % 8 * 4; }
  static __device__ int half_of(int unit) { return unit / 8 % 2; }  // of the block
  static __device__ int byte_of(int unit) { return unit % 8 * 4; }  // l
  // The sub-block of 16 that run k lies in.
  static __device__ int sub_block(int unit, int k) {
    return 8 * half_of(unit) + 2 * k + byte_of(unit) / 16;
  }
};

struct DecodeQ2_K : K2Units {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[4][4]) {
    const BlockQ2_K& block = reinterpret_cast<const BlockQ2_K*>(row)[unit / 16];
    const float d = half_bits_to_float(block.d);
    const float dmin = half_bits_to_float(block.dmin);
    const std::uint32_t bytes = load_u32<4>(block.qs + 32 * half_of(unit) + byte_of(unit));
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int packed = block.scales[sub_block(unit, k)];
      const float scale = __fmul_rn(d, static_cast<float>(packed & 15));
      const float minimum = __fmul_rn(dmin, static_cast<float>(packed >> 4));
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[k][i] =
            __fsub_rn(__fmul_rn(scale, static_cast<float>(bytes >> (8 * i + 2 * k) & 3u)), minimum);
    }
  }
};

struct DecodeQ3_K : K2Units {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[4][4]) {
    const BlockQ3_K& block = reinterpret_cast<const BlockQ3_K*>(row)[unit / 16];
    const float d = half_bits_to_float(block.d);
    const std::uint32_t bytes = load_u32<2>(block.qs + 32 * half_of(unit) + byte_of(unit));
    const std::uint32_t hmask = load_u32<2>(block.hmask + byte_of(unit));
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int s = sub_block(unit, k);
      const int low = block.scales[s % 8] >> (4 * (s / 8)) & 15;
      const int high = block.scales[8 + s % 4] >> (2 * (s / 4)) & 3;
      const float scale = __fmul_rn(d, static_cast<float>((low | high << 4) - 32));
      const int bit = 4 * half_of(unit) + k;  // of hmask's bytes
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q = static_cast<int>(bytes >> (8 * i + 2 * k) & 3u) +
                      static_cast<int>((hmask >> (8 * i + bit) & 1u) << 2);
        out[k][i] = __fmul_rn(scale, static_cast<float>(q - 4));
      }
    }
  }
};

struct DecodeQ6_K : K2Units {
  static __device__ void decode(const std::uint8_t* row, int unit, float (&out)[4][4]) {
    const BlockQ6_K& block = reinterpret_cast<const BlockQ6_K*>(row)[unit / 16];
    const float d = half_bits_to_float(block.d);
    const std::uint8_t* ql = block.ql + 64 * half_of(unit) + byte_of(unit);
    const std::uint32_t low[2] = {load_u32<2>(ql), load_u32<2>(ql + 32)};
    const std::uint32_t high = load_u32<2>(block.qh + 32 * half_of(unit) + byte_of(unit));
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const float scale = __fmul_rn(d, static_cast<float>(block.scales[sub_block(unit, k)]));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q =
            nibble(low[k % 2], k / 2, i) | static_cast<int>((high >> (8 * i + 2 * k) & 3u) << 4);
        out[k][i] = __fmul_rn(scale, static_cast<float>(q - 32));
      }
    }
  }
};

using DecodeF16 = DecodeTwoBytes<half_bits_to_float>;
using DecodeF16Scalar = DecodeTwoBytesScalar<half_bits_to_float>;
using DecodeBF16 = DecodeTwoBytes<bf16_bits_to_float>;
using DecodeBF16Scalar = DecodeTwoBytesScalar<bf16_bits_to_float>;

}  // namespace haikuda::cuda
