// --plot: the rows as a picture. An SVG by itself, readable on a light and on a dark ground.
#pragma once

#include <string>
#include <vector>

#include "app/bench/bench_report.h"

namespace haikuda {

// Speed of generations and of prompts by depth, and each row under the roof of the measured read
// bandwidth.
std::string bench_plot(const BenchFacts& facts, const std::vector<BenchRow>& rows);

}  // namespace haikuda
