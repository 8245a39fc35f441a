// A weight matrix on the device, in the encoding of the file.
#pragma once

#include "base/dtype.h"

namespace haikuda::cuda {

// Row-major (rows, cols), rows without gaps; owns nothing. `data` is aligned to 256 bytes, a row
// only as its bytes allow (18, 34, 210 … bytes a block).
struct DeviceTensor {
  DType dtype = DType::F32;
  int rows = 0;
  int cols = 0;
  const void* data = nullptr;
};

}  // namespace haikuda::cuda
