// Decoding of weights to float: the reference for every other decoder and the CPU backend's only
// one.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace haikuda {

// Decodes n elements; n is a multiple of the type's block. `src` holds row_bytes(dtype, n) bytes at
// any alignment and does not overlap dst. Bit for bit what the Python package gguf's dequantize()
// returns.
void dequantize_row(DType dtype, const void* src, float* dst, std::int64_t n);

}  // namespace haikuda
