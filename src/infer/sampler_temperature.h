// Temperature: makes the distribution sharper (below 1) or flatter (above 1).
#pragma once

#include "infer/sampler_candidates.h"

namespace haikuda {

// Divides the logits. Leaves the likeliest alone when the temperature is 0, negative or next to 0.
void apply_temperature(Candidates& candidates, double temperature);

// Between temperature - range (0 at least) and temperature + range, by the entropy of the
// candidates as a share of the greatest there can be, to the power of `exponent`. With one
// candidate, 1.
double dynamic_temperature(const Candidates& candidates,
                           double temperature,
                           double range,
                           double exponent);

}  // namespace haikuda
