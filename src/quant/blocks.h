// The bytes of every quantized block of a GGUF file, and nothing else: how they are decoded is
// dequantize.cpp on the host and the block decoders of cuda/device. Shared with nvcc: only
// <cstdint>. Source: llama.cpp ggml/src/ggml-common.h. All fields are little-endian; float16 values
// are bit patterns. A struct's address in a file is only as aligned as its size allows: most are 2,
// MXFP4's is 1.
#pragma once

#include <cstdint>

namespace haikuda {

constexpr int kSmallBlock = 32;   // elements of Q*_0, Q*_1, IQ4_NL, MXFP4
constexpr int kSuperBlock = 256;  // elements of Q*_K, IQ4_XS

// y[j] = d * (q - 8), 4-bit q: low nibbles are elements 0-15, high nibbles 16-31.
struct BlockQ4_0 {
  std::uint16_t d;      // scale, float16
  std::uint8_t qs[16];  // two elements a byte: j low, j + 16 high
};
static_assert(sizeof(BlockQ4_0) == 18);

// y[j] = d * q + m
struct BlockQ4_1 {
  std::uint16_t d;      // scale, float16
  std::uint16_t m;      // minimum, float16
  std::uint8_t qs[16];  // as in Q4_0
};
static_assert(sizeof(BlockQ4_1) == 20);

// y[j] = d * (q - 16), 5-bit q
struct BlockQ5_0 {
  std::uint16_t d;      // scale, float16
  std::uint8_t qh[4];   // u32: bit j is the fifth bit of element j
  std::uint8_t qs[16];  // low four bits, as in Q4_0
};
static_assert(sizeof(BlockQ5_0) == 22);

// y[j] = d * q + m, 5-bit q
struct BlockQ5_1 {
  std::uint16_t d;      // scale, float16
  std::uint16_t m;      // minimum, float16
  std::uint8_t qh[4];   // as in Q5_0
  std::uint8_t qs[16];  // as in Q5_0
};
static_assert(sizeof(BlockQ5_1) == 24);

// y[j] = d * q
struct BlockQ8_0 {
  std::uint16_t d;     // scale, float16
  std::int8_t qs[32];  // one element a byte
};
static_assert(sizeof(BlockQ8_0) == 34);

// 16 sub-blocks of 16: y = (d * (scale & 15)) * q - dmin * (scale >> 4), 2-bit q
struct BlockQ2_K {
  std::uint8_t scales[16];  // of each sub-block: scale low nibble, minimum high nibble
  std::uint8_t qs[64];      // 32 bytes per 128 elements: bits 2k of byte l are element 32 k + l
  std::uint16_t d;          // scale of the scales, float16
  std::uint16_t dmin;       // scale of the minima, float16
};
static_assert(sizeof(BlockQ2_K) == 84);

// 16 sub-blocks of 16: y = (d * (scale - 32)) * (q - 4 * !h), 2-bit q and its high bit h
struct BlockQ3_K {
  std::uint8_t hmask[32];  // bit k of byte l is h of element 32 k + l
  std::uint8_t qs[64];     // as in Q2_K
  std::uint8_t
      scales[12];   // 6-bit: low 4 bits of 0-7 | 8-15 in the nibbles of bytes 0-7;
                    // high 2 bits of 0-3 | 4-7 | 8-11 | 12-15 in the bit pairs of bytes 8-11
  std::uint16_t d;  // scale of the scales, float16
};
static_assert(sizeof(BlockQ3_K) == 110);

// 8 sub-blocks of 32: y = (d * scale) * q - dmin * minimum, 4-bit q
struct BlockQ4_K {
  std::uint16_t d;     // scale of the scales, float16
  std::uint16_t dmin;  // scale of the minima, float16
  std::uint8_t
      scales[12];  // 6-bit: bytes 0-3 scales 0-3, bytes 4-7 minima 0-3, bytes 8-11 low 4 bits of
                   // scale (low nibble) and minimum (high) 4-7, whose high 2 bits top bytes 0-7
  std::uint8_t qs[128];  // 32 bytes per 64 elements: low nibbles the first 32, high the second
};
static_assert(sizeof(BlockQ4_K) == 144);

// As Q4_K with 5-bit q
struct BlockQ5_K {
  std::uint16_t d;          // scale of the scales, float16
  std::uint16_t dmin;       // scale of the minima, float16
  std::uint8_t scales[12];  // as in Q4_K
  std::uint8_t qh[32];      // bit k of byte l is the fifth bit of element 32 k + l
  std::uint8_t qs[128];     // low four bits, as in Q4_K
};
static_assert(sizeof(BlockQ5_K) == 176);

// 16 sub-blocks of 16: y = (d * scale) * (q - 32), 6-bit q
struct BlockQ6_K {
  std::uint8_t ql[128];  // low 4 bits, 64 bytes per 128 elements: low nibbles 0-63, high 64-127
  std::uint8_t
      qh[64];  // high 2 bits, 32 bytes per 128 elements: bits 2k of byte l are element 32 k + l
  std::int8_t scales[16];  // of each sub-block
  std::uint16_t d;         // scale of the scales, float16
};
static_assert(sizeof(BlockQ6_K) == 210);

// y[j] = d * kIq4Values[q]
struct BlockIQ4_NL {
  std::uint16_t d;      // scale, float16
  std::uint8_t qs[16];  // as in Q4_0
};
static_assert(sizeof(BlockIQ4_NL) == 18);

// 8 sub-blocks of 32: y = (d * (scale - 32)) * kIq4Values[q]
struct BlockIQ4_XS {
  std::uint16_t d;           // scale of the scales, float16
  std::uint16_t scales_h;    // bits 2k: high 2 bits of scale k
  std::uint8_t scales_l[4];  // low 4 bits, scale 2k low nibble of byte k, 2k + 1 high
  std::uint8_t qs[128];      // 16 bytes a sub-block, as in Q4_0
};
static_assert(sizeof(BlockIQ4_XS) == 136);

// y[j] = 2^(e - 128) * kMxfp4Values[q] (the table holds twice the E2M1 values). e 0 and 1 give
// float subnormals; e = 255, NaN in the OCP specification, is 2^127 as in ggml.
struct BlockMXFP4 {
  std::uint8_t e;       // shared exponent, E8M0
  std::uint8_t qs[16];  // as in Q4_0
};
static_assert(sizeof(BlockMXFP4) == 17);

// A struct, so that a __constant__ variable or a kernel's local can be initialised from it.
struct CodeTable {
  std::int8_t values[16];
};
constexpr CodeTable kIq4Values = {
    {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}};
constexpr CodeTable kMxfp4Values = {{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}};

}  // namespace haikuda
