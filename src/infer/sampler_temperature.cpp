#include "infer/sampler_temperature.h"

#include <algorithm>
#include <cmath>

namespace haikuda {

// llama.cpp src/llama-sampler.cpp, temp.
void apply_temperature(Candidates& candidates, double temperature) {
  constexpr double kColdest =
      1e-10;  // below it all logits that differ do so by more than exp can hold
  if (temperature < kColdest) return keep_likeliest(candidates);
  for (Candidate& c : candidates) c.logit /= temperature;
}

// llama.cpp src/llama-sampler.cpp, temp-ext.
double dynamic_temperature(const Candidates& candidates,
                           double temperature,
                           double range,
                           double exponent) {
  if (candidates.size() == 1) return 1;
  const double low = std::max(0.0, temperature - range);
  const double high = temperature + range;
  const double share =
      Softmax(candidates).entropy(candidates) / std::log(static_cast<double>(candidates.size()));
  return low + (high - low) * std::pow(std::clamp(share, 0.0, 1.0), exponent);
}

}  // namespace haikuda
