// Normalised mean squared error, the distance of all numeric tests, and its matcher.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.h"

namespace haikuda::test {

// sum((got - want)^2) / sum(want^2); infinity when anything is not finite or the sizes differ,
// and for a non-zero result against all zeros.
inline double nmse(std::span<const float> got, std::span<const float> want) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  if (got.size() != want.size()) return infinity;
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double difference = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    error += difference * difference;
    norm += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  if (!(error < infinity) || !(norm < infinity)) return infinity;
  if (norm == 0) return error == 0 ? 0 : infinity;
  return error / norm;
}

// REQUIRE_THAT(got, NmseBelow(want, 1e-7)), got a std::vector<float>.
class NmseBelow : public Matcher<std::vector<float>> {
 public:
  NmseBelow(std::vector<float> want, double bound) : want_(std::move(want)), bound_(bound) {}

  bool match(const std::vector<float>& got) const override {
    error_ = nmse(got, want_);
    worst_ = worst_index(got);
    return error_ <= bound_;
  }

  std::string describe() const override {
    return "has NMSE <= " + Catch::Detail::stringify(bound_) + " (is " +
           Catch::Detail::stringify(error_) + "; largest difference at " + std::to_string(worst_) +
           " of " + std::to_string(want_.size()) + ")";
  }

 private:
  // Index of the largest difference; a NaN counts as the largest.
  std::size_t worst_index(std::span<const float> got) const {
    std::size_t worst = 0;
    float largest = -1;
    for (std::size_t i = 0; i < got.size() && i < want_.size(); ++i) {
      const float difference = got[i] > want_[i] ? got[i] - want_[i] : want_[i] - got[i];
      if (difference != difference) return i;
      if (difference > largest) largest = difference, worst = i;
    }
    return worst;
  }

  std::vector<float> want_;
  double bound_;
  mutable double error_ = 0;
  mutable std::size_t worst_ = 0;
};

}  // namespace haikuda::test
