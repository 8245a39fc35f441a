// How a matrix lies in device memory. Plain types, and quantized types that gain nothing, lie as in
// the file. The others are repacked when they are uploaded, without loss: each field of their
// blocks goes to a plane of its own, whose rows start at multiples of 16 bytes, so that 16 bytes at
// a time can be read. A row's planes follow each other, so that rows can be copied whole. Sizes
// stay as in the file but for that padding.
#pragma once

#include <array>
#include <cstddef>

#include "cuda/device/planes.h"
#include "cuda/device_tensor.h"

namespace haikuda::cuda {

// Whether matrices of this type are repacked.
bool is_repacked(DType dtype);

// Bytes that a block has in each plane, 0 where there is no such plane; all 0 for types that lie as
// in the file. The first plane holds the bulk of the quants.
std::array<int, kMaxPlanes> block_plane_bytes(DType dtype);

// Bytes of a matrix on the device.
std::size_t matrix_bytes(DType dtype, std::int64_t rows, std::int64_t cols);

// Where the planes of `w` are.
MatrixPlanes planes_of(const DeviceTensor& w);

}  // namespace haikuda::cuda
