// What the forward pass shows a probe.
#include <algorithm>

#include "cpu/forward.h"

namespace haikuda::cpu {
namespace {

// In the order in which they are shown.
struct InsidePart {
  Stage stage;
  std::vector<float> AttentionInside::*values;
};
constexpr InsidePart kInside[] = {{Stage::attn_scores, &AttentionInside::scores},
                                  {Stage::attn_max, &AttentionInside::max},
                                  {Stage::attn_sum, &AttentionInside::sum},
                                  {Stage::attn_weights, &AttentionInside::weights}};

}  // namespace

void Forward::show_rows(Stage stage, int layer, const float* rows, int position, int n) const {
  if (!probe_->wants(stage, layer, position, n)) return;
  StageView view{.stage = stage, .layer = layer, .position = position, .n_rows = n};
  view.row_shape = stage_row_shape(stage, config_);
  std::size_t size = static_cast<std::size_t>(n);
  for (const int dim : view.row_shape) size *= static_cast<std::size_t>(dim);
  view.values = {rows, size};
  probe_->show(view);
}

void Forward::show_tokens(std::span<const int> tokens) const {
  if (probe() == nullptr || !probe_->wants(Stage::tokens, -1, first_, n_)) return;
  probe_->show({.stage = Stage::tokens, .position = first_, .n_rows = n_, .ids = tokens});
}

void Forward::show_angles() const {
  if (probe() == nullptr) return;
  const std::size_t n_pairs = frequencies_.radians.size();
  std::vector<float> theta, cos, sin;
  for (int t = 0; t < n_; ++t)
    for (std::size_t i = 0; i < n_pairs; ++i) {
      const float* turn = &scratch_.cos_sin[2 * (static_cast<std::size_t>(t) * n_pairs + i)];
      theta.push_back(static_cast<float>((first_ + t) * frequencies_.radians[i]));
      cos.push_back(turn[0]);
      sin.push_back(turn[1]);
    }
  show(Stage::rope_theta, -1, theta.data());
  show(Stage::rope_cos, -1, cos.data());
  show(Stage::rope_sin, -1, sin.data());
}

bool Forward::wants_inside_attention(int layer) const {
  return std::any_of(std::begin(kInside), std::end(kInside), [&](const InsidePart& part) {
    return probe_->wants(part.stage, layer, first_, n_);
  });
}

void Forward::show_inside_attention(int layer, std::span<const AttentionInside> inside) const {
  for (const InsidePart& part : kInside)
    for (int t = 0; t < n_; ++t) {
      if (!probe_->wants(part.stage, layer, first_ + t, 1)) continue;
      const std::vector<float>& values = inside[static_cast<std::size_t>(t)].*part.values;
      const int n_keys = static_cast<int>(values.size()) / config_.n_heads;
      probe_->show({.stage = part.stage,
                    .layer = layer,
                    .position = first_ + t,
                    .n_rows = 1,
                    .row_shape = stage_row_shape(part.stage, config_, n_keys),
                    .values = values});
    }
}

}  // namespace haikuda::cpu
