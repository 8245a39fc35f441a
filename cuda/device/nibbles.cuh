// How the quants of 4, 5 and 6 bits that kernels/repack.cu writes become bytes: 16 bytes of
// nibbles, whose low ones are a unit's first 16 weights and whose high ones are its last, and upper
// bits in words of their own.
#pragma once

#include <cstdint>

namespace haikuda::cuda {

constexpr std::uint32_t kLowNibbles = 0x0f0f0f0fu;

// Upper bits: low(i) are those of the low nibbles of word i, in bits 4 and up of each byte.
struct NoUpperBits {
  __device__ std::uint32_t low(int) const { return 0; }
  __device__ std::uint32_t high(int) const { return 0; }
};
// Bit w of byte i belongs to byte i of word w; words 4-7 are the high nibbles.
struct FifthBits {
  std::uint32_t bits;
  __device__ std::uint32_t low(int i) const { return bits << (4 - i) & 0x10101010u; }
  __device__ std::uint32_t high(int i) const { return bits >> i & 0x10101010u; }
};
// Bits 2w of byte i belong to byte i of word w.
struct UpperTwoBits {
  std::uint32_t low_bits, high_bits;
  static __device__ std::uint32_t of(std::uint32_t bits, int i) {
    return (i < 2 ? bits << (4 - 2 * i) : bits >> (2 * i - 4)) & 0x30303030u;
  }
  __device__ std::uint32_t low(int i) const { return of(low_bits, i); }
  __device__ std::uint32_t high(int i) const { return of(high_bits, i); }
};

// Byte c of the last three words of a block's scales: k4_bits() of decoders.cuh in two
// instructions.
__device__ inline std::uint32_t quick_k4_bits(std::uint32_t second,
                                              std::uint32_t third,
                                              std::uint32_t fourth,
                                              std::uint32_t c) {
  return __byte_perm(__byte_perm(second, third, c | (c + 4) << 4), fourth, 0x0010u | (c + 4) << 8);
}

}  // namespace haikuda::cuda
