// What a row of a stage looks like, in a few numbers.
#pragma once

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace haikuda {

// Of the finite values; NaN where there is none.
struct StageStats {
  float min = 0, max = 0;
  double mean = 0, rms = 0;
  std::size_t min_index = 0, max_index = 0;  // the lowest of equals
  std::size_t n_zeros = 0, n_non_finite = 0;
};
StageStats stage_stats(std::span<const float> values);

// Indices and values of the n greatest (or all), the greatest first, the lowest index of equals.
// NaN and infinities are left out.
std::vector<std::pair<int, float>> greatest(std::span<const float> values, std::size_t n);

}  // namespace haikuda
