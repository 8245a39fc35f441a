// SVG charts of a report. Their colours are the page's.
#pragma once

#include <string>
#include <vector>

namespace haikuda {

// Values over 0, 1, ... as a line. `log`: a logarithmic axis, on which what is not positive and
// finite is left out.
std::string line_chart(const std::vector<double>& values,
                       bool log,
                       const char* x_name,
                       const char* y_name);
// A row of weights (0 to 1) for each token, as long as it sees keys.
std::string attention_chart(const std::vector<std::vector<float>>& rows);

}  // namespace haikuda
