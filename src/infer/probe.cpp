#include "infer/probe.h"

#include <algorithm>

#include "base/error.h"

namespace haikuda {
namespace {

constexpr StageInfo kStages[] = {
    {Stage::tokens, "tokens", false},
    {Stage::token_embd, "token_embd", false},
    {Stage::rope_theta, "rope_theta", false},
    {Stage::rope_cos, "rope_cos", false},
    {Stage::rope_sin, "rope_sin", false},
    {Stage::attn_norm, "attn_norm", true},
    {Stage::q, "q", true},
    {Stage::k, "k", true},
    {Stage::v, "v", true},
    {Stage::q_norm, "q_norm", true},
    {Stage::k_norm, "k_norm", true},
    {Stage::q_rope, "q_rope", true},
    {Stage::k_rope, "k_rope", true},
    {Stage::attn_scores, "attn_scores", true},
    {Stage::attn_max, "attn_max", true},
    {Stage::attn_sum, "attn_sum", true},
    {Stage::attn_weights, "attn_weights", true},
    {Stage::attn_output, "attn_output", true},
    {Stage::attn_proj, "attn_proj", true},
    {Stage::attn_residual, "attn_residual", true},
    {Stage::ffn_norm, "ffn_norm", true},
    {Stage::ffn_gate, "ffn_gate", true},
    {Stage::ffn_up, "ffn_up", true},
    {Stage::ffn_act, "ffn_act", true},
    {Stage::ffn_down, "ffn_down", true},
    {Stage::ffn_residual, "ffn_residual", true},
    {Stage::output_norm, "output_norm", false},
    {Stage::logits, "logits", false},
    {Stage::sampled, "sampled", false},
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
