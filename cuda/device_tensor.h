// A weight matrix on the device.
#pragma once

#include "base/dtype.h"

namespace haikuda::cuda {

// (rows, cols), laid out as cuda/layout.h says: plain types row-major without gaps. Owns nothing;
// `data` is aligned to 256 bytes.
struct DeviceTensor {
  DType dtype = DType::F32;
  int rows = 0;
  int cols = 0;
  const void* data = nullptr;
};

}  // namespace haikuda::cuda
