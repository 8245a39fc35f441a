// Weight bytes for tests: any type, plausible scales, values with about the wanted deviation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"

namespace haikuda::test {

// rows * cols weights with mean 0 and standard deviation about `scale`, rows without gaps.
// cols is a multiple of the type's block. Float and Q*_0, Q*_1 types are quantized normal values;
// the others have random quants under scales that give that deviation.
std::vector<std::byte> random_weights(
    DType dtype, std::int64_t rows, std::int64_t cols, float scale, std::uint64_t seed);

// F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 only; values.size() is a multiple of the block.
std::vector<std::byte> quantize(DType dtype, std::span<const float> values);

}  // namespace haikuda::test
