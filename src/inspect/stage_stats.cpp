#include "inspect/stage_stats.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

namespace haikuda {

StageStats stage_stats(std::span<const float> values) {
  StageStats out;
  double sum = 0, sum_of_squares = 0;
  std::size_t n_finite = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float x = values[i];
    if (!std::isfinite(x)) {
      ++out.n_non_finite;
      continue;
    }
    if (x == 0) ++out.n_zeros;
    if (n_finite == 0 || x < out.min) out.min = x, out.min_index = i;
    if (n_finite == 0 || x > out.max) out.max = x, out.max_index = i;
    sum += static_cast<double>(x);
    sum_of_squares += static_cast<double>(x) * static_cast<double>(x);
    ++n_finite;
  }
  if (n_finite == 0) {
    out.min = out.max = std::numeric_limits<float>::quiet_NaN();
    out.mean = out.rms = std::numeric_limits<double>::quiet_NaN();
  } else {
    out.mean = sum / static_cast<double>(n_finite);
    out.rms = std::sqrt(sum_of_squares / static_cast<double>(n_finite));
  }
  return out;
}

std::vector<std::pair<int, float>> greatest(std::span<const float> values, std::size_t n) {
  std::vector<std::pair<int, float>> all;
  for (std::size_t i = 0; i < values.size(); ++i)
    if (std::isfinite(values[i])) all.emplace_back(static_cast<int>(i), values[i]);
  const auto end = std::next(all.begin(), static_cast<std::ptrdiff_t>(std::min(n, all.size())));
  std::partial_sort(all.begin(), end, all.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  all.erase(end, all.end());
  return all;
}

}  // namespace haikuda
