#include "model/rope_frequencies.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace haikuda {
namespace {

// The (fractional) pair that turns `n_rotations` times within the original context.
double yarn_pair(const RopeConfig& rope, double n_rotations) {
  return rope.n_dims * std::log(rope.n_ctx_original / (n_rotations * 2 * std::numbers::pi)) /
         (2 * std::log(rope.freq_base));
}

// 1 for pairs that keep their frequency (fast ones), 0 for pairs that are interpolated.
double yarn_keep(const RopeConfig& rope, int pair) {
  const double low = std::max(0.0, std::floor(yarn_pair(rope, rope.beta_fast)));
  const double high = std::min(rope.n_dims - 1.0, std::ceil(yarn_pair(rope, rope.beta_slow)));
  return 1 - std::clamp((pair - low) / std::max(0.001, high - low), 0.0, 1.0);
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& rope, const std::vector<float>& factors) {
  RopeFrequencies out;
  const double scale = rope.scaling == RopeScaling::none ? 1 : 1 / rope.factor;
  for (int i = 0; i < rope.n_dims / 2; ++i) {
    double frequency = std::pow(rope.freq_base, -2.0 * i / rope.n_dims);
    if (!factors.empty()) frequency /= static_cast<double>(factors[static_cast<std::size_t>(i)]);
    const double keep = rope.scaling == RopeScaling::yarn ? yarn_keep(rope, i) : 0;
    out.radians.push_back(frequency * (keep + (1 - keep) * scale));
  }
  if (rope.scaling == RopeScaling::yarn)
    out.magnitude = (1 + 0.1 * std::log(rope.factor)) * rope.attn_factor;
  return out;
}

}  // namespace haikuda
