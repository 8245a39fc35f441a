// How matrices and quantized activations lie in device memory: plain structs that the host fills
// in and kernels read. The planes of each type are listed in cuda/layout.cpp.
#pragma once

#include <cstdint>

namespace haikuda::cuda {

constexpr int kMaxPlanes = 4;

// The planes of a matrix. Row r of plane p is row_bytes[p] bytes at data[p] + r * stride.
struct MatrixPlanes {
  const std::uint8_t* data[kMaxPlanes];
  std::int64_t row_bytes[kMaxPlanes], stride;
};
// One row of each plane.
struct RowPlanes {
  const std::uint8_t* data[kMaxPlanes];
};

// Activations that meet quantized weights are integers, 32 neighbours a scale: x = scale · q. One
// plane of int8: |q| <= 127, which costs 3e-5 of a product (NMSE) and 2e-4 of a small model's
// logits. Two planes: q = 256 · first + second, |q| <= 32512, which costs nothing that can be seen,
// and twice the integer products.
constexpr int kActivationPlanes = 2;

// What belongs to 32 of them.
struct ActivationBlock {
  float scale;
  float low_sum, high_sum;  // scale · q, summed over the first and the last 16
};

// What one block hands to others (device/tagged.cuh), and how these know that it is that of now.
struct alignas(8) Tagged {
  float value;
  unsigned tag;
};
// Two values as floats of 24 bits: F32 but for the last 8 of its 24 significant bits, an error of
// at most 2^-17; and the last 16 bits of the tag.
struct TaggedPair {
  std::uint64_t bits;
};
// Four values as halves less their last bits, an error of at most 2^-11. These four bits are the
// last of the tag, and three of a level: values are 2^(24 level) times the halves.
struct TaggedHalves {
  std::uint64_t bits;
};
constexpr int kLeastLevel = -2, kMostLevel = 5, kBitsOfLevel = 24;

}  // namespace haikuda::cuda
