// Formats: quant/blocks.h; order of operations: gguf-py/gguf/quants.py and dequantize_row_* of
// llama.cpp ggml/src/ggml-quants.c, which agree. The inner loops have no branches, so that they
// vectorize. Compiled with -ffp-contract=off so that every SIMD level rounds alike. (Today a fused
// d * q + m could not differ: a float16 scale times its 4 to 8 bits is exact in float32.)
#include "quant/dequantize.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "base/simd.h"
#include "quant/blocks.h"

namespace haikuda {
namespace {

std::uint16_t load_u16(const void* src, std::int64_t i) {
  std::uint16_t bits;
  std::memcpy(&bits, static_cast<const std::byte*>(src) + 2 * i, sizeof bits);
  return bits;
}

void decode_f32(const void* src, float* __restrict dst, std::int64_t n) {
  std::memcpy(dst, src, static_cast<std::size_t>(n) * sizeof(float));
}

void decode_f16(const void* src, float* __restrict dst, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) dst[i] = half_to_float(load_u16(src, i));
}

void decode_bf16(const void* src, float* __restrict dst, std::int64_t n) {
  for (std::int64_t i = 0; i < n; ++i) dst[i] = bf16_to_float(load_u16(src, i));
}

void decode(const BlockQ4_0& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  for (int j = 0; j < 16; ++j) {
    dst[j] = d * static_cast<float>((block.qs[j] & 15) - 8);
    dst[j + 16] = d * static_cast<float>((block.qs[j] >> 4) - 8);
  }
}

void decode(const BlockQ4_1& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  const float m = half_to_float(block.m);
  for (int j = 0; j < 16; ++j) {
    dst[j] = d * static_cast<float>(block.qs[j] & 15) + m;
    dst[j + 16] = d * static_cast<float>(block.qs[j] >> 4) + m;
  }
}

// Bit j belongs to element j.
std::uint32_t load_qh(const std::uint8_t (&qh)[4]) {
  return std::bit_cast<std::uint32_t>(qh);
}

void decode(const BlockQ5_0& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  const std::uint32_t qh = load_qh(block.qh);
  for (int j = 0; j < 16; ++j) {
    const int low = (block.qs[j] & 15) | static_cast<int>((qh >> j & 1u) << 4);
    const int high = (block.qs[j] >> 4) | static_cast<int>((qh >> (j + 16) & 1u) << 4);
    dst[j] = d * static_cast<float>(low - 16);
    dst[j + 16] = d * static_cast<float>(high - 16);
  }
}

void decode(const BlockQ5_1& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  const float m = half_to_float(block.m);
  const std::uint32_t qh = load_qh(block.qh);
  for (int j = 0; j < 16; ++j) {
    const int low = (block.qs[j] & 15) | static_cast<int>((qh >> j & 1u) << 4);
    const int high = (block.qs[j] >> 4) | static_cast<int>((qh >> (j + 16) & 1u) << 4);
    dst[j] = d * static_cast<float>(low) + m;
    dst[j + 16] = d * static_cast<float>(high) + m;
  }
}

void decode(const BlockQ8_0& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  for (int j = 0; j < 32; ++j) dst[j] = d * static_cast<float>(block.qs[j]);
}

void decode(const BlockQ2_K& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  const float dmin = half_to_float(block.dmin);
  for (int s = 0; s < 16; ++s) {
    const float scale = d * static_cast<float>(block.scales[s] & 15);
    const float minimum = dmin * static_cast<float>(block.scales[s] >> 4);
    const std::uint8_t* qs = block.qs + 32 * (s / 8) + 16 * (s % 2);
    const int shift = 2 * (s / 2 % 4);
    for (int l = 0; l < 16; ++l)
      dst[16 * s + l] = scale * static_cast<float>(qs[l] >> shift & 3) - minimum;
  }
}

void decode(const BlockQ3_K& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  for (int s = 0; s < 16; ++s) {
    const int low = block.scales[s % 8] >> (4 * (s / 8)) & 15;
    const int high = block.scales[8 + s % 4] >> (2 * (s / 4)) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    const std::uint8_t* qs = block.qs + 32 * (s / 8) + 16 * (s % 2);
    const std::uint8_t* hmask = block.hmask + 16 * (s % 2);
    const int shift = 2 * (s / 2 % 4);
    for (int l = 0; l < 16; ++l) {
      const int q = (qs[l] >> shift & 3) + ((hmask[l] >> (s / 2) & 1) << 2) - 4;
      dst[16 * s + l] = scale * static_cast<float>(q);
    }
  }
}

// Scales and minima of the sub-blocks of Q4_K and Q5_K, 6 bits each; get_scale_min_k4 of
// ggml-quants.c.
struct ScalesMinsK4 {
  std::uint8_t scales[8], mins[8];
};

ScalesMinsK4 unpack_k4(const std::uint8_t (&packed)[12]) {
  ScalesMinsK4 out{};
  for (int k = 0; k < 4; ++k) {
    const int a = packed[k], b = packed[k + 4], c = packed[k + 8];
    out.scales[k] = static_cast<std::uint8_t>(a & 63);
    out.mins[k] = static_cast<std::uint8_t>(b & 63);
    out.scales[k + 4] = static_cast<std::uint8_t>((c & 15) | a >> 6 << 4);
    out.mins[k + 4] = static_cast<std::uint8_t>(c >> 4 | b >> 6 << 4);
  }
  return out;
}

void decode(const BlockQ4_K& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  const float dmin = half_to_float(block.dmin);
  const ScalesMinsK4 k4 = unpack_k4(block.scales);
  for (int s = 0; s < 8; ++s) {
    const float scale = d * static_cast<float>(k4.scales[s]);
    const float minimum = dmin * static_cast<float>(k4.mins[s]);
    const std::uint8_t* qs = block.qs + 32 * (s / 2);
    const int shift = 4 * (s % 2);
    for (int l = 0; l < 32; ++l)
      dst[32 * s + l] = scale * static_cast<float>(qs[l] >> shift & 15) - minimum;
  }
}

void decode(const BlockQ5_K& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  const float dmin = half_to_float(block.dmin);
  const ScalesMinsK4 k4 = unpack_k4(block.scales);
  for (int s = 0; s < 8; ++s) {
    const float scale = d * static_cast<float>(k4.scales[s]);
    const float minimum = dmin * static_cast<float>(k4.mins[s]);
    const std::uint8_t* qs = block.qs + 32 * (s / 2);
    const int shift = 4 * (s % 2);
    for (int l = 0; l < 32; ++l) {
      const int q = (qs[l] >> shift & 15) | (block.qh[l] >> s & 1) << 4;
      dst[32 * s + l] = scale * static_cast<float>(q) - minimum;
    }
  }
}

void decode(const BlockQ6_K& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  for (int s = 0; s < 16; ++s) {
    const float scale = d * static_cast<float>(block.scales[s]);
    const int half = s / 8;         // of 128 elements
    const int quarter = s / 2 % 4;  // of 32 elements
    const std::uint8_t* ql = block.ql + 64 * half + 32 * (quarter % 2) + 16 * (s % 2);
    const std::uint8_t* qh = block.qh + 32 * half + 16 * (s % 2);
    const int ql_shift = 4 * (quarter / 2);
    const int qh_shift = 2 * quarter;
    for (int l = 0; l < 16; ++l) {
      const int q = (ql[l] >> ql_shift & 15) | (qh[l] >> qh_shift & 3) << 4;
      dst[16 * s + l] = scale * static_cast<float>(q - 32);
    }
  }
}

// 32 elements of four bits each through a table.
void decode_codes(const std::uint8_t* qs,
                  float scale,
                  const CodeTable& table,
                  float* __restrict dst) {
  for (int j = 0; j < 16; ++j) {
    dst[j] = scale * static_cast<float>(table.values[qs[j] & 15]);
    dst[j + 16] = scale * static_cast<float>(table.values[qs[j] >> 4]);
  }
}

void decode(const BlockIQ4_NL& block, float* __restrict dst) {
  decode_codes(block.qs, half_to_float(block.d), kIq4Values, dst);
}

void decode(const BlockIQ4_XS& block, float* __restrict dst) {
  const float d = half_to_float(block.d);
  for (int s = 0; s < 8; ++s) {
    const int low = block.scales_l[s / 2] >> (4 * (s % 2)) & 15;
    const int high = block.scales_h >> (2 * s) & 3;
    const float scale = d * static_cast<float>((low | high << 4) - 32);
    decode_codes(block.qs + 16 * s, scale, kIq4Values, dst + 32 * s);
  }
}

// 2^(e - 128); ggml_e8m0_to_fp32_half of llama.cpp ggml/src/ggml-impl.h.
float e8m0_half(std::uint8_t e) {
  const std::uint32_t bits = e < 2 ? 0x00200000u << e : static_cast<std::uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

void decode(const BlockMXFP4& block, float* __restrict dst) {
  decode_codes(block.qs, e8m0_half(block.e), kMxfp4Values, dst);
}

template <class Block, int kElems>
void decode_blocks(const void* src, float* __restrict dst, std::int64_t n) {
  const std::int64_t n_blocks = n / kElems;
  if (reinterpret_cast<std::uintptr_t>(src) % alignof(Block) == 0) {
    const auto* blocks = static_cast<const Block*>(src);
    for (std::int64_t i = 0; i < n_blocks; ++i) decode(blocks[i], dst + i * kElems);
    return;
  }
  // A file may ask for alignment 1; the copy halves the speed of the small blocks.
  const auto* bytes = static_cast<const std::byte*>(src);
  for (std::int64_t i = 0; i < n_blocks; ++i) {
    Block block;
    std::memcpy(&block, bytes + i * static_cast<std::int64_t>(sizeof block), sizeof block);
    decode(block, dst + i * kElems);
  }
}

}  // namespace

HAIKUDA_SIMD_CLONES
void dequantize_row(DType dtype, const void* src, float* dst, std::int64_t n) {
  switch (dtype) {
    case DType::F32:
      return decode_f32(src, dst, n);
    case DType::F16:
      return decode_f16(src, dst, n);
    case DType::BF16:
      return decode_bf16(src, dst, n);
    case DType::Q4_0:
      return decode_blocks<BlockQ4_0, kSmallBlock>(src, dst, n);
    case DType::Q4_1:
      return decode_blocks<BlockQ4_1, kSmallBlock>(src, dst, n);
    case DType::Q5_0:
      return decode_blocks<BlockQ5_0, kSmallBlock>(src, dst, n);
    case DType::Q5_1:
      return decode_blocks<BlockQ5_1, kSmallBlock>(src, dst, n);
    case DType::Q8_0:
      return decode_blocks<BlockQ8_0, kSmallBlock>(src, dst, n);
    case DType::Q2_K:
      return decode_blocks<BlockQ2_K, kSuperBlock>(src, dst, n);
    case DType::Q3_K:
      return decode_blocks<BlockQ3_K, kSuperBlock>(src, dst, n);
    case DType::Q4_K:
      return decode_blocks<BlockQ4_K, kSuperBlock>(src, dst, n);
    case DType::Q5_K:
      return decode_blocks<BlockQ5_K, kSuperBlock>(src, dst, n);
    case DType::Q6_K:
      return decode_blocks<BlockQ6_K, kSuperBlock>(src, dst, n);
    case DType::IQ4_NL:
      return decode_blocks<BlockIQ4_NL, kSmallBlock>(src, dst, n);
    case DType::IQ4_XS:
      return decode_blocks<BlockIQ4_XS, kSuperBlock>(src, dst, n);
    case DType::MXFP4:
      return decode_blocks<BlockMXFP4, kSmallBlock>(src, dst, n);
  }
  constexpr bool is_supported_type = false;
  HAIKUDA_CHECK(is_supported_type);
}

}  // namespace haikuda
