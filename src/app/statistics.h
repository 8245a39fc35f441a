// Numbers that summarise several measurements.
#pragma once

#include <vector>

namespace haikuda {

// None of these takes an empty vector.

// The value that a share `p` of the values does not exceed (nearest rank).
double percentile(std::vector<double> values, double p);
double mean(const std::vector<double>& values);
// Of a sample, so divided by n - 1; 0 for a single value.
double standard_deviation(const std::vector<double>& values);
// The middle one, or the mean of the middle two.
double median(std::vector<double> values);

}  // namespace haikuda
