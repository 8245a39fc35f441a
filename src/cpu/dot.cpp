#include "cpu/dot.h"

#include <cstring>

#include "base/simd.h"

namespace haikuda::cpu {
namespace {

constexpr int kLanes = 16;
typedef float Lanes
    __attribute__((vector_size(kLanes * sizeof(float))));  // any SIMD width carries it

}  // namespace

HAIKUDA_SIMD_CLONES
float dot(const float* a, const float* b, std::int64_t n) {
  Lanes sum0 = {}, sum1 = {};
  std::int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    Lanes a0, a1, b0, b1;
    std::memcpy(&a0, a + i, sizeof a0);
    std::memcpy(&a1, a + i + kLanes, sizeof a1);
    std::memcpy(&b0, b + i, sizeof b0);
    std::memcpy(&b1, b + i + kLanes, sizeof b1);
    sum0 += a0 * b0;
    sum1 += a1 * b1;
  }
  sum0 += sum1;
  float sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += sum0[lane];
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace haikuda::cpu
