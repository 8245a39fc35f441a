// A weight matrix or vector where it lies; owns nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/dtype.h"

namespace haikuda {

// Row-major (rows, cols), rows without gaps; a vector has rows == 1.
// GGUF's ne[0] is cols (the input dimension), ne[1] is rows.
struct TensorView {
  std::string name;
  DType dtype = DType::F32;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  const std::byte* data = nullptr;  // in the mapped file or in owned storage that outlives the view

  explicit operator bool() const { return data != nullptr; }
  std::int64_t size() const { return rows * cols; }
  std::size_t row_stride() const { return row_bytes(dtype, cols); }
  std::size_t bytes() const { return row_stride() * static_cast<std::size_t>(rows); }
  const std::byte* row(std::int64_t r) const {
    return data + row_stride() * static_cast<std::size_t>(r);
  }
};

}  // namespace haikuda
