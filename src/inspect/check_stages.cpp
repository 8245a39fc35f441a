#include <cmath>
#include <map>

#include <fmt/format.h>

#include "inspect/explain.h"
#include "inspect/rules.h"
#include "inspect/stage_check.h"

namespace haikuda {
namespace {

using recompute::Row;
using recompute::RowView;
using MatrixOf = TensorView LayerWeights::*;

// Matrices are asked at few positions: the first of the prompt, its last, and the last of all,
// which a step of decoding computed.
std::vector<int> few_positions(const Examination& exam) {
  std::vector<int> out = {0};
  for (const int p : {exam.n_prompt - 1, exam.n_tokens() - 1})
    if (p != out.back()) out.push_back(p);
  return out;
}

class StageChecker {
 public:
  explicit StageChecker(const Checkup& c)
      : c_(c), rows_(c.exam.run), explainer_{std::max(1e-6, 10 * c.rounding)} {
    const auto add = [&](Stage stage, const char* rule) {
      checks_.emplace(stage, StageCheck(stage, "stages", rule, c.rounding));
    };
    const RopeConfig& rope = c.config().rope;
    rotation_ = {c.config().head_dim, rope.n_dims, rope.style, {}, 1};
    RopeFrequencies frequencies = rope_frequencies(rope, to_float(c.model.weights.rope_freqs));
    rotation_.radians = std::move(frequencies.radians);
    rotation_.magnitude = frequencies.magnitude;
    add(Stage::token_embd, "the embedding is the token's row");
    add(Stage::rope_theta, "angles are position · base^(-2i/n)");
    add(Stage::attn_norm, "attn_norm is the RMSNorm of the residual");
    add(Stage::q, "q is W·x + b");
    add(Stage::k, "k is W·x + b");
    add(Stage::v, "v is W·x + b");
    add(Stage::q_norm, "each head of q is normed");
    add(Stage::k_norm, "each head of k is normed");
    add(Stage::q_rope, "q is rotated in the file's style");
    add(Stage::k_rope, "k is rotated in the file's style");
    add(Stage::attn_scores, "scores are q·k / sqrt(head_dim), KV heads by division");
    add(Stage::attn_max, "softmax subtracts the greatest score");
    add(Stage::attn_sum, "softmax divides by the sum of its exponentials");
    add(Stage::attn_weights, "weights are the softmax of the scores");
    add(Stage::attn_output, "the output is the weighted sum of v");
    add(Stage::attn_proj, "the projection is W·x");
    add(Stage::attn_residual, "attention is added to the residual");
    add(Stage::ffn_norm, "ffn_norm is the RMSNorm of the residual");
    add(Stage::ffn_gate, "gate is W·x");
    add(Stage::ffn_up, "up is W·x");
    add(Stage::ffn_act, "the activation is silu(gate)·up");
    add(Stage::ffn_down, "down is W·x");
    add(Stage::ffn_residual, "the feed-forward block is added to the residual");
    add(Stage::output_norm, "output_norm is the RMSNorm of the residual");
    add(Stage::logits, "logits are W·x of the output matrix");
  }

  void run(Diagnosis& out) {
    check_inputs();
    for (int layer = 0; layer < c_.config().n_layers; ++layer) {
      check_attention(layer);
      check_feed_forward(layer);
    }
    check_head();
    for (const auto& [stage, check] : checks_)
      if (check.was_asked()) out.add(check.verdict());
  }

 private:
  RowView row(Stage stage, int layer, int position) const {
    return rows_.row(stage, layer, position);
  }
  StageCheck& check(Stage stage) { return checks_.at(stage); }
  // The residual stream that goes into a layer.
  RowView input_of(int layer, int position) const {
    return layer == 0 ? row(Stage::token_embd, -1, position)
                      : row(Stage::ffn_residual, layer - 1, position);
  }
  const LayerWeights& weights(int layer) const {
    return c_.model.weights.layers[static_cast<std::size_t>(layer)];
  }
  // The same tensor of the other layers.
  std::vector<Explainer::Candidate> other_layers(MatrixOf member, int layer) const {
    std::vector<Explainer::Candidate> out;
    for (int other = 0; other < c_.config().n_layers; ++other)
      if (other != layer) out.emplace_back(fmt::format("layer {}", other), weights(other).*member);
    return out;
  }

  void check_inputs();
  void check_norm(Stage stage, Stage input, MatrixOf weight, int layer);
  void check_product(Stage stage, Stage input, MatrixOf w, MatrixOf bias, int layer, int n_heads);
  void check_rotation(Stage stage, Stage input, int layer, int n_heads);
  void check_scores(int layer, int position);
  void check_sum(Stage stage, Stage block, int layer);
  void check_attention(int layer);
  void check_feed_forward(int layer);
  void check_head();

  const Checkup& c_;
  const StageRows& rows_;
  Explainer explainer_;
  recompute::Rotation rotation_;
  std::map<Stage, StageCheck> checks_;
  ThreadPool threads_;
};

void StageChecker::check_inputs() {
  const TensorView& table = c_.model.weights.token_embd;
  for (int p = 0; p < c_.exam.n_tokens(); ++p) {
    const int token = c_.exam.tokens[static_cast<std::size_t>(p)];
    const RowView got = row(Stage::token_embd, -1, p);
    if (check(Stage::token_embd).fails_first(got, recompute::weight_row(table, token), -1, p))
      check(Stage::token_embd).explain(explainer_.embedding(got, table, token));
    Row theta;
    for (const double radians : rotation_.radians) theta.push_back(static_cast<float>(p * radians));
    const RowView shown = row(Stage::rope_theta, -1, p);
    if (check(Stage::rope_theta).fails_first(shown, theta, -1, p))
      check(Stage::rope_theta).explain(explainer_.angles(shown, rotation_, p));
  }
}

void StageChecker::check_norm(Stage stage, Stage input, MatrixOf member, int layer) {
  const TensorView& tensor = weights(layer).*member;
  const Row weight = to_float(tensor);
  const double eps = static_cast<double>(c_.config().rms_eps);
  for (int p = 0; p < c_.exam.n_tokens(); ++p) {
    const RowView x = stage == Stage::attn_norm ? input_of(layer, p) : row(input, layer, p);
    const RowView got = row(stage, layer, p);
    const auto size = static_cast<int>(weight.size());
    const int n_heads = static_cast<int>(got.size()) / size;
    if (check(stage).fails_first(got, recompute::rms_norm(x, weight, size, eps), layer, p, n_heads))
      check(stage).explain(explainer_.norm(got, x, weight, size, eps, other_layers(member, layer)));
  }
}

void StageChecker::check_product(
    Stage stage, Stage input, MatrixOf member, MatrixOf bias_member, int layer, int n_heads) {
  const TensorView& w = weights(layer).*member;
  const Row bias = bias_member == nullptr ? Row{} : to_float(weights(layer).*bias_member);
  const std::vector<int> positions = few_positions(c_.exam);
  std::vector<RowView> x;
  x.reserve(positions.size());
  for (const int p : positions) x.push_back(row(input, layer, p));
  const std::vector<Row> want = recompute::product(w, bias, x, threads_);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const RowView got = row(stage, layer, positions[i]);
    if (check(stage).fails_first(got, want[i], layer, positions[i], n_heads))
      check(stage).explain(
          explainer_.product(got, want[i], w, bias, x[i], other_layers(member, layer), threads_));
  }
}

void StageChecker::check_rotation(Stage stage, Stage input, int layer, int n_heads) {
  for (int p = 0; p < c_.exam.n_tokens(); ++p) {
    const RowView x = row(input, layer, p), got = row(stage, layer, p);
    if (check(stage).fails_first(got, recompute::rope(x, rotation_, p), layer, p, n_heads))
      check(stage).explain(explainer_.rope(got, x, rotation_, p, c_.config().rope.freq_base));
  }
}

void StageChecker::check_scores(int layer, int p) {
  const ModelConfig& config = c_.config();
  const std::vector<int> kv_head = kv_heads_by_division(config.n_heads, config.n_kv_heads);
  std::vector<RowView> keys, values;
  for (int i = 0; i <= p; ++i) {
    keys.push_back(row(Stage::k_rope, layer, i));
    values.push_back(row(Stage::v, layer, i));
  }
  const RowView q = row(Stage::q_rope, layer, p), scores = row(Stage::attn_scores, layer, p),
                weights = row(Stage::attn_weights, layer, p),
                output = row(Stage::attn_output, layer, p);
  if (q.empty() || keys[0].empty() || scores.empty()) return;
  const double scale = 1 / std::sqrt(static_cast<double>(config.head_dim));
  const Row want = recompute::scores(q, keys, kv_head, scale);
  if (check(Stage::attn_scores).fails_first(scores, want, layer, p, config.n_heads))
    check(Stage::attn_scores)
        .explain(explainer_.scores(scores, want, q, keys, config.n_kv_heads, config.head_dim));
  if (scores.size() % static_cast<std::size_t>(config.n_heads) != 0) return;
  const recompute::Softmax softmax = recompute::softmax(scores, config.n_heads);
  if (check(Stage::attn_max)
          .fails_first(row(Stage::attn_max, layer, p), softmax.max, layer, p, config.n_heads))
    check(Stage::attn_max).explain("softmax does not subtract the greatest score");
  if (check(Stage::attn_sum)
          .fails_first(row(Stage::attn_sum, layer, p), softmax.sum, layer, p, config.n_heads))
    check(Stage::attn_sum).explain(explainer_.sum_of_softmax(weights, scores, config.n_heads));
  if (check(Stage::attn_weights).fails_first(weights, softmax.weights, layer, p, config.n_heads))
    check(Stage::attn_weights).explain(explainer_.weights(weights, scores, config.n_heads));
  if (weights.size() != keys.size() * static_cast<std::size_t>(config.n_heads)) return;
  const Row mixed = recompute::mix(weights, values, kv_head, config.head_dim);
  if (!check(Stage::attn_output).fails_first(output, mixed, layer, p, config.n_heads)) return;
  std::string cause =
      explainer_.attention(output, q, keys, values, config.n_kv_heads, config.head_dim);
  if (cause.empty())
    cause =
        explainer_.mix(output, weights, values, config.n_heads, config.n_kv_heads, config.head_dim);
  check(Stage::attn_output).explain(std::move(cause));
}

void StageChecker::check_sum(Stage stage, Stage block, int layer) {
  for (int p = 0; p < c_.exam.n_tokens(); ++p) {
    const RowView stream =
        stage == Stage::attn_residual ? input_of(layer, p) : row(Stage::attn_residual, layer, p);
    const RowView added = row(block, layer, p), got = row(stage, layer, p);
    if (check(stage).fails_first(got, recompute::sum(stream, added), layer, p))
      check(stage).explain(explainer_.sum(got, stream, added));
  }
}

void StageChecker::check_attention(int layer) {
  using L = LayerWeights;
  const ModelConfig& config = c_.config();
  const bool normed = static_cast<bool>(weights(layer).attn_q_norm);
  check_norm(Stage::attn_norm, Stage::attn_norm, &L::attn_norm, layer);
  check_product(Stage::q, Stage::attn_norm, &L::attn_q, &L::attn_q_bias, layer, config.n_heads);
  check_product(Stage::k, Stage::attn_norm, &L::attn_k, &L::attn_k_bias, layer, config.n_kv_heads);
  check_product(Stage::v, Stage::attn_norm, &L::attn_v, &L::attn_v_bias, layer, config.n_kv_heads);
  if (normed) {
    check_norm(Stage::q_norm, Stage::q, &L::attn_q_norm, layer);
    check_norm(Stage::k_norm, Stage::k, &L::attn_k_norm, layer);
  }
  check_rotation(Stage::q_rope, normed ? Stage::q_norm : Stage::q, layer, config.n_heads);
  check_rotation(Stage::k_rope, normed ? Stage::k_norm : Stage::k, layer, config.n_kv_heads);
  for (int p = 0; p < c_.exam.n_tokens(); ++p) check_scores(layer, p);
  check_product(Stage::attn_proj, Stage::attn_output, &L::attn_output, nullptr, layer, 0);
  check_sum(Stage::attn_residual, Stage::attn_proj, layer);
}

void StageChecker::check_feed_forward(int layer) {
  using L = LayerWeights;
  check_norm(Stage::ffn_norm, Stage::attn_residual, &L::ffn_norm, layer);
  check_product(Stage::ffn_gate, Stage::ffn_norm, &L::ffn_gate, nullptr, layer, 0);
  check_product(Stage::ffn_up, Stage::ffn_norm, &L::ffn_up, nullptr, layer, 0);
  for (int p = 0; p < c_.exam.n_tokens(); ++p) {
    const RowView gate = row(Stage::ffn_gate, layer, p), up = row(Stage::ffn_up, layer, p),
                  got = row(Stage::ffn_act, layer, p);
    if (check(Stage::ffn_act).fails_first(got, recompute::silu_mul(gate, up), layer, p))
      check(Stage::ffn_act).explain(explainer_.activation(got, gate, up));
  }
  check_product(Stage::ffn_down, Stage::ffn_act, &L::ffn_down, nullptr, layer, 0);
  check_sum(Stage::ffn_residual, Stage::ffn_down, layer);
}

void StageChecker::check_head() {
  const Weights& w = c_.model.weights;
  const Row weight = to_float(w.output_norm);
  const double eps = static_cast<double>(c_.config().rms_eps);
  std::vector<Explainer::Candidate> others;
  if (!w.tied) others.emplace_back("token_embd.weight", w.token_embd);
  for (int p = c_.exam.n_prompt - 1; p < c_.exam.n_tokens(); ++p) {
    const RowView x = row(Stage::ffn_residual, c_.config().n_layers - 1, p);
    const RowView normed = row(Stage::output_norm, -1, p), logits = row(Stage::logits, -1, p);
    const auto size = static_cast<int>(weight.size());
    if (check(Stage::output_norm)
            .fails_first(normed, recompute::rms_norm(x, weight, size, eps), -1, p))
      check(Stage::output_norm).explain(explainer_.norm(normed, x, weight, size, eps, {}));
    const bool asked = p == c_.exam.n_prompt - 1 || p == c_.exam.n_tokens() - 1;
    if (!asked || normed.empty()) continue;
    const Row want = recompute::product(w.output, {}, {normed}, threads_)[0];
    if (!check(Stage::logits).fails_first(logits, want, -1, p)) continue;
    std::string cause = explainer_.product(logits, want, w.output, {}, normed, others, threads_);
    if (w.tied && cause.starts_with("the device's"))
      cause = "another matrix than the tied token_embd.weight, or a wrong product";
    check(Stage::logits).explain(std::move(cause));
  }
}

}  // namespace

void check_stages(const Checkup& c, Diagnosis& out) {
  StageChecker(c).run(out);
}

}  // namespace haikuda
