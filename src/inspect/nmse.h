// The distance of two rows.
#pragma once

#include <span>

namespace haikuda {

// sum((got - want)²) / sum(want²); infinity when a value of `got` is not finite, the sizes differ,
// or `want` is all zeros and `got` is not.
double nmse(std::span<const float> got, std::span<const float> want);
bool all_finite(std::span<const float> values);

// The first of `n_heads` equal parts whose distance exceeds `bound`; -1 when none does.
int first_head_above(std::span<const float> got,
                     std::span<const float> want,
                     int n_heads,
                     double bound);

}  // namespace haikuda
