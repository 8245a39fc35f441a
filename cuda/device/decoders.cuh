// One decoder for each type of weight. A row is cut into units: what one thread decodes at a time,
// the elements that share a few neighbouring bytes. A unit is kRuns runs of kRun neighbouring
// elements, kStride apart:
//   out[r][i] is element first_column(unit) + r * kStride + i of the row; units cover a row exactly
//   once.
// A type that is repacked (cuda/layout.h) is decoded from its planes. Values are those of
// quant/dequantize.cpp bit for bit: the __f*_rn intrinsics are never fused to an FMA.
#pragma once

#include <cstdint>

#include "cuda/device/load.cuh"
#include "cuda/device/planes.h"
#include "quant/blocks.h"

namespace haikuda::cuda {

// The scale of a block of 32, or of any block whose scale is a plane of its own.
__device__ inline float scale_in(const std::uint8_t* plane, int block) {
  return half_bits_to_float(reinterpret_cast<const std::uint16_t*>(plane)[block]);
}
// The word of a plane of words.
__device__ inline std::uint32_t word_in(const std::uint8_t* plane, int word) {
  return reinterpret_cast<const std::uint32_t*>(plane)[word];
}
__device__ inline float low_half(std::uint32_t word) {
  return half_bits_to_float(static_cast<std::uint16_t>(word & 0xffffu));
}
__device__ inline float high_half(std::uint32_t word) {
  return half_bits_to_float(static_cast<std::uint16_t>(word >> 16));
}

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

__device__ inline RowPlanes row_of(const MatrixPlanes& planes, std::int64_t row) {
  RowPlanes out;
#pragma unroll
  for (int p = 0; p < kMaxPlanes; ++p) out.data[p] = planes.data[p] + row * planes.stride;
  return out;
}

struct DecodeF32 : VectorUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const float4 v = reinterpret_cast<const float4*>(row.data[0])[2 * unit + r];
      out[r][0] = v.x, out[r][1] = v.y, out[r][2] = v.z, out[r][3] = v.w;
    }
  }
};
struct DecodeF32Scalar : ScalarUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[1][1]) {
    out[0][0] = reinterpret_cast<const float*>(row.data[0])[unit];
  }
};

template <float (*kToFloat)(std::uint16_t)>
struct DecodeTwoBytes : VectorUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const uint4 v = reinterpret_cast<const uint4*>(row.data[0])[unit];
    const std::uint32_t words[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
    for (int i = 0; i < 8; ++i)
      out[i / 4][i % 4] =
          kToFloat(static_cast<std::uint16_t>(words[i / 2] >> 16 * (i % 2) & 0xffffu));
  }
};
template <float (*kToFloat)(std::uint16_t)>
struct DecodeTwoBytesScalar : ScalarUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[1][1]) {
    out[0][0] = kToFloat(reinterpret_cast<const std::uint16_t*>(row.data[0])[unit]);
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
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const float d = scale_in(row.data[1], unit / 4);
    const std::uint32_t bytes = word_in(row.data[0], unit);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[r][i] = __fmul_rn(d, static_cast<float>(nibble(bytes, r, i) - 8));
  }
};

struct DecodeQ4_1 : NibbleUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const std::uint32_t dm = word_in(row.data[1], unit / 4);
    const float d = low_half(dm), m = high_half(dm);
    const std::uint32_t bytes = word_in(row.data[0], unit);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[r][i] = __fadd_rn(__fmul_rn(d, static_cast<float>(nibble(bytes, r, i))), m);
  }
};

// The fifth bit of byte i of word w, as 0 or 16. Words 0-3 are the low nibbles of 16 bytes, 4-7 the
// high ones; qh is spread as kernels/repack.cu does it.
__device__ inline int fifth_bit(std::uint32_t qh, int w, int i) {
  return static_cast<int>((qh >> (8 * i + w) & 1u) << 4);
}

struct DecodeQ5_0 : NibbleUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const float d = scale_in(row.data[1], unit / 4);
    const std::uint32_t qh = word_in(row.data[2], unit / 4);
    const std::uint32_t bytes = word_in(row.data[0], unit);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q = nibble(bytes, r, i) | fifth_bit(qh, 4 * r + unit % 4, i);
        out[r][i] = __fmul_rn(d, static_cast<float>(q - 16));
      }
  }
};

struct DecodeQ5_1 : NibbleUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const std::uint32_t dm = word_in(row.data[1], unit / 4);
    const float d = low_half(dm), m = high_half(dm);
    const std::uint32_t qh = word_in(row.data[2], unit / 4);
    const std::uint32_t bytes = word_in(row.data[0], unit);
#pragma unroll
    for (int r = 0; r < 2; ++r)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q = nibble(bytes, r, i) | fifth_bit(qh, 4 * r + unit % 4, i);
        out[r][i] = __fadd_rn(__fmul_rn(d, static_cast<float>(q)), m);
      }
  }
};

// Eight neighbouring bytes of a block.
struct DecodeQ8_0 {
  static constexpr int kRuns = 2, kRun = 4, kStride = 4;
  static __device__ int first_column(int unit) { return 8 * unit; }
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const float d = scale_in(row.data[1], unit / 4);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const std::uint32_t bytes = word_in(row.data[0], 2 * unit + r);
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
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    decode_codes<Iq4Table>(word_in(row.data[0], unit), scale_in(row.data[1], unit / 4), out);
  }
};

struct DecodeMXFP4 : NibbleUnits {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const BlockMXFP4& block = reinterpret_cast<const BlockMXFP4*>(row.data[0])[unit / 4];
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
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const BlockIQ4_XS& block = reinterpret_cast<const BlockIQ4_XS*>(row.data[0])[unit / 32];
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
// Those of sub-blocks 2c + r of repacked scales, bits 12r … of the 24 that belong to c.
__device__ inline std::uint32_t k4_bits(const std::uint32_t* words, int c) {
  return (words[1] >> 8 * c & 0xffu) | (words[2] >> 8 * c & 0xffu) << 8 |
         (words[3] >> 8 * c & 0xffu) << 16;
}
__device__ inline ScaleMin k4_scale_min(std::uint32_t bits, int r) {
  return {static_cast<int>(bits >> 12 * r & 63u), static_cast<int>(bits >> (12 * r + 6) & 63u)};
}

struct DecodeQ4_K : K4Units {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const auto* scales = reinterpret_cast<const std::uint32_t*>(row.data[1]) + unit / 32 * 4;
    const float d = low_half(scales[0]), dmin = high_half(scales[0]);
    const std::uint32_t k4 = k4_bits(scales, unit / 8 % 4);
    const std::uint32_t bytes = word_in(row.data[0], unit);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const ScaleMin sub_block = k4_scale_min(k4, r);
      const float scale = __fmul_rn(d, static_cast<float>(sub_block.scale));
      const float minimum = __fmul_rn(dmin, static_cast<float>(sub_block.minimum));
#pragma unroll
      for (int i = 0; i < 4; ++i)
        out[r][i] = __fsub_rn(__fmul_rn(scale, static_cast<float>(nibble(bytes, r, i))), minimum);
    }
  }
};

struct DecodeQ5_K : K4Units {
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[2][4]) {
    const auto* scales = reinterpret_cast<const std::uint32_t*>(row.data[1]) + unit / 32 * 4;
    const float d = low_half(scales[0]), dmin = high_half(scales[0]);
    const std::uint32_t k4 = k4_bits(scales, unit / 8 % 4);
    const std::uint32_t bytes = word_in(row.data[0], unit);
    const std::uint32_t qh = word_in(row.data[2], unit / 4);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const ScaleMin sub_block = k4_scale_min(k4, r);
      const float scale = __fmul_rn(d, static_cast<float>(sub_block.scale));
      const float minimum = __fmul_rn(dmin, static_cast<float>(sub_block.minimum));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q = nibble(bytes, r, i) | fifth_bit(qh, 4 * r + unit % 4, i);
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
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[4][4]) {
    const BlockQ2_K& block = reinterpret_cast<const BlockQ2_K*>(row.data[0])[unit / 16];
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
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[4][4]) {
    const BlockQ3_K& block = reinterpret_cast<const BlockQ3_K*>(row.data[0])[unit / 16];
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
  static __device__ void decode(const RowPlanes& row, int unit, float (&out)[4][4]) {
    // Byte l of a half, in the units of 16 bytes of repack.cu: r = l / 16 and 2 + l / 16.
    const int l = byte_of(unit), block = unit / 16;
    const float d = scale_in(row.data[3], block);
    const int first = 8 * block + 4 * half_of(unit) + l / 16;
    const auto* scales = reinterpret_cast<const std::int8_t*>(row.data[1]);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int of_16 = first + 2 * (k % 2);
      const std::uint32_t low = word_in(row.data[0], 4 * of_16 + l % 16 / 4);
      const std::uint32_t high = word_in(row.data[2], 2 * of_16 + k / 2);
      const float scale = __fmul_rn(d, static_cast<float>(scales[2 * of_16 + k / 2]));
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int q =
            nibble(low, k / 2, i) | static_cast<int>((high >> (8 * i + l % 16 / 2) & 3u) << 4);
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
