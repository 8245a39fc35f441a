#include "inspect/chain_bound.h"

#include <algorithm>
#include <cmath>

#include "inspect/stage_stats.h"

namespace haikuda {
namespace {

// A score s rounded to half is off by 2^-11 |s|, and by as much the weights of softmax: over the
// bound of 1e-3 that half has.
constexpr double kOfScores = 2.4e-4;

double power(std::span<const float> row) {
  const double rms = row.empty() ? 0 : stage_stats(row).rms;
  return std::isfinite(rms) ? rms * rms : 0;
}

}  // namespace

ChainBound::ChainBound(const ModelConfig& config, const StageRows& run, double bound)
    : config_(config), run_(run), bound_(bound) {}

double ChainBound::shrinkage(int layer, int position) const {
  double greatest = power(run_.row(Stage::token_embd, -1, position)), last = greatest;
  for (int i = 0; i <= layer; ++i) {
    last = power(run_.row(Stage::ffn_residual, i, position));
    greatest = std::max(greatest, last);
  }
  return last > 0 ? greatest / last : 1;
}

double ChainBound::of(const StageRows::Key& key) const {
  const auto& [layer, stage, position] = key;
  const bool is_of_head = layer < 0 && stage >= Stage::output_norm;
  double factor = is_of_head ? shrinkage(config_.n_layers - 1, position)
                  : layer < 0
                      ? 1
                      : shrinkage(stage == Stage::ffn_residual ? layer : layer - 1, position);
  if (stage >= Stage::attn_sum && stage <= Stage::attn_proj) {
    const StageStats scores = stage_stats(run_.row(Stage::attn_scores, layer, position));
    const double greatest = std::max(std::fabs(static_cast<double>(scores.min)),
                                     std::fabs(static_cast<double>(scores.max)));
    if (std::isfinite(greatest)) factor += kOfScores * greatest * greatest;
  }
  return bound_ * factor;
}

}  // namespace haikuda
