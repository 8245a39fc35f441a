// The angles of rotary position embedding: base, linear and YaRN scaling, and Llama 3's factors.
#pragma once

#include <vector>

#include "model/config.h"

namespace haikuda {

// A pair i of a head rotates at position p by the angle p * radians[i]; cos and sin are multiplied
// by `magnitude`.
struct RopeFrequencies {
  std::vector<double> radians;  // (n_dims / 2), per position
  double magnitude = 1;
};

// `factors` (n_dims / 2) divide the frequencies (rope_freqs.weight); empty for none.
// YaRN: arXiv 2309.00071 §3.1-3.4, with llama.cpp's parameters (ggml-cpu/ops.cpp, rope_yarn).
RopeFrequencies rope_frequencies(const RopeConfig& rope, const std::vector<float>& factors);

}  // namespace haikuda
