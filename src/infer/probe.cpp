#include "infer/probe.h"

#include <algorithm>

#include "base/error.h"

namespace haikuda {
namespace {

constexpr StageInfo kStages[] = {
    {Stage::tokens, false, "tokens"},
    {Stage::token_embd, false, "token_embd"},
    {Stage::rope_theta, false, "rope_theta"},
    {Stage::rope_cos, false, "rope_cos"},
    {Stage::rope_sin, false, "rope_sin"},
    {Stage::attn_norm, true, "attn_norm"},
    {Stage::q, true, "q"},
    {Stage::k, true, "k"},
    {Stage::v, true, "v"},
    {Stage::q_norm, true, "q_norm"},
    {Stage::k_norm, true, "k_norm"},
    {Stage::q_rope, true, "q_rope"},
    {Stage::k_rope, true, "k_rope"},
    {Stage::attn_scores, true, "attn_scores"},
    {Stage::attn_max, true, "attn_max"},
    {Stage::attn_sum, true, "attn_sum"},
    {Stage::attn_weights, true, "attn_weights"},
    {Stage::attn_output, true, "attn_output"},
    {Stage::attn_proj, true, "attn_proj"},
    {Stage::attn_residual, true, "attn_residual"},
    {Stage::ffn_norm, true, "ffn_norm"},
    {Stage::ffn_gate, true, "ffn_gate"},
    {Stage::ffn_up, true, "ffn_up"},
    {Stage::ffn_act, true, "ffn_act"},
    {Stage::ffn_down, true, "ffn_down"},
    {Stage::ffn_residual, true, "ffn_residual"},
    {Stage::output_norm, false, "output_norm"},
    {Stage::logits, false, "logits"},
    {Stage::sampled, false, "sampled"},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < std::size(kStages); ++i)
    if (static_cast<std::size_t>(kStages[i].stage) != i) return false;
  return true;
}
static_assert(in_order());

const StageInfo& info_of(Stage stage) {
  return kStages[static_cast<std::size_t>(stage)];
}

}  // namespace

std::span<const StageInfo> all_stages() {
  return kStages;
}

const char* stage_name(Stage stage) {
  return info_of(stage).name;
}

bool is_of_layer(Stage stage) {
  return info_of(stage).of_layer;
}

std::optional<Stage> find_stage(std::string_view name) {
  const auto* found = std::find_if(std::begin(kStages), std::end(kStages),
                                   [&](const StageInfo& info) { return info.name == name; });
  if (found == std::end(kStages)) return std::nullopt;
  return found->stage;
}

std::vector<int> stage_row_shape(Stage stage, const ModelConfig& c, int n_keys) {
  switch (stage) {
    case Stage::tokens:
    case Stage::sampled:
      return {};
    case Stage::rope_theta:
    case Stage::rope_cos:
    case Stage::rope_sin:
      return {c.rope.n_dims / 2};
    case Stage::q:
    case Stage::q_norm:
    case Stage::q_rope:
    case Stage::attn_output:
      return {c.n_heads, c.head_dim};
    case Stage::k:
    case Stage::v:
    case Stage::k_norm:
    case Stage::k_rope:
      return {c.n_kv_heads, c.head_dim};
    case Stage::attn_scores:
    case Stage::attn_weights:
      return {c.n_heads, n_keys};
    case Stage::attn_max:
    case Stage::attn_sum:
      return {c.n_heads};
    case Stage::ffn_gate:
    case Stage::ffn_up:
    case Stage::ffn_act:
      return {c.n_ff};
    case Stage::logits:
      return {c.n_vocab};
    case Stage::token_embd:
    case Stage::attn_norm:
    case Stage::attn_proj:
    case Stage::attn_residual:
    case Stage::ffn_norm:
    case Stage::ffn_down:
    case Stage::ffn_residual:
    case Stage::output_norm:
      return {c.n_embd};
  }
  check_failed("a known stage", __FILE__, __LINE__);
}

}  // namespace haikuda
