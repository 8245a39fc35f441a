#include "inspect/nmse.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace haikuda {

double nmse(std::span<const float> got, std::span<const float> want) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (got.size() != want.size()) return kInfinity;
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double w = static_cast<double>(want[i]), e = static_cast<double>(got[i]) - w;
    error += e * e;
    norm += w * w;
  }
  if (!std::isfinite(error) || !std::isfinite(norm)) return kInfinity;
  if (error == 0) return 0;
  return norm == 0 ? kInfinity : error / norm;
}

bool all_finite(std::span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

int first_head_above(std::span<const float> got,
                     std::span<const float> want,
                     int n_heads,
                     double bound) {
  const std::size_t n = static_cast<std::size_t>(n_heads);
  if (n == 0 || got.size() != want.size() || got.size() % n != 0) return -1;
  const std::size_t size = got.size() / n;
  for (std::size_t h = 0; h < n; ++h)
    if (!(nmse(got.subspan(h * size, size), want.subspan(h * size, size)) <= bound))
      return static_cast<int>(h);
  return -1;
}

}  // namespace haikuda
