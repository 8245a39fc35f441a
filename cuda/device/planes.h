// How matrices and quantized activations lie in device memory: plain structs that the host fills
// in and kernels read. The planes of each type are listed in cuda/layout.cpp.
#pragma once

#include <cstdint>

namespace haikuda::cuda {

constexpr int kMaxPlanes = 4;

// The planes of a matrix. Row r of plane p is row_bytes[p] bytes at data[p] + r * row_bytes[p].
struct MatrixPlanes {
  const std::uint8_t* data[kMaxPlanes];
  std::int64_t row_bytes[kMaxPlanes];
};
// One row of each plane.
struct RowPlanes {
  const std::uint8_t* data[kMaxPlanes];
};

// 32 neighbouring activations held in int8: x = scale · q.
struct ActivationBlock {
  float scale;
  std::int16_t low_sum, high_sum;  // of the first and the last 16 q
};

}  // namespace haikuda::cuda
