// The inner product that every matrix multiplication on the CPU comes down to.
#pragma once

#include <cstdint>

namespace haikuda::cpu {

// Sum of a[i] * b[i] in F32 over 32 lanes in a fixed order: the same bits on every processor.
float dot(const float* a, const float* b, std::int64_t n);

}  // namespace haikuda::cpu
