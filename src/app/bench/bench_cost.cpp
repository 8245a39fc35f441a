#include "app/bench/bench_cost.h"

#include <algorithm>

#include "infer/kv_layout.h"

namespace haikuda {
namespace {

// One pass over the model for `n` tokens after `position` others.
struct Pass {
  double n = 0, position = 0;
  bool has_logits = true;
};

double layer_bytes(const Weights& w) {
  const std::size_t rest =
      w.output_norm.bytes() + w.token_embd.bytes() + (w.tied ? 0 : w.output.bytes());
  return static_cast<double>(w.total_bytes() - rest);
}

double layer_elems(const Weights& w) {
  std::int64_t n = 0;
  for (const LayerWeights& l : w.layers)
    n += l.attn_q.size() + l.attn_k.size() + l.attn_v.size() + l.attn_output.size() +
         l.ffn_gate.size() + l.ffn_up.size() + l.ffn_down.size();
  return static_cast<double>(n);
}

BenchCost cost_of(const Model& model, const Pass& pass, int kv_elem_bytes) {
  const Weights& w = model.weights;
  const ModelConfig& c = model.config;
  const double kv_elems = static_cast<double>(KvLayout(c, 1).total_elems());
  const double head_bytes = static_cast<double>(w.output.bytes() + w.output_norm.bytes());
  BenchCost cost;
  cost.bytes = layer_bytes(w) + (pass.has_logits ? head_bytes : 0) +
               pass.n * static_cast<double>(w.token_embd.row_stride()) +
               (pass.position + pass.n) * kv_elems * kv_elem_bytes;
  // Each token attends to those before it and to itself: q·k and the sum over v.
  const double n_attended = pass.n * (pass.position + (pass.n + 1) / 2);
  cost.flops = 2 * pass.n * layer_elems(w) +
               (pass.has_logits ? 2 * static_cast<double>(w.output.size()) : 0) +
               4 * n_attended * c.q_size() * c.n_layers;
  return cost;
}

}  // namespace

BenchCost bench_cost(const Model& model, const BenchTest& test, int chunk, int kv_elem_bytes) {
  BenchCost sum;
  const auto add = [&](const Pass& pass, double times) {
    const BenchCost cost = cost_of(model, pass, kv_elem_bytes);
    sum.bytes += times * cost.bytes;
    sum.flops += times * cost.flops;
  };
  for (int done = 0; done < test.n_prompt; done += chunk) {
    const int n = std::min(chunk, test.n_prompt - done);
    add({static_cast<double>(n), static_cast<double>(test.n_depth + done),
         done + n == test.n_prompt},
        1);
  }
  const int first = test.n_positions() - test.n_gen;
  if (test.n_gen > 0) add({1, first + (test.n_gen - 1) / 2.0}, test.n_gen);
  return sum;
}

double bytes_per_token(const Model& model, const BenchTest& test, int kv_elem_bytes) {
  const int first = test.n_positions() - test.n_gen;
  return cost_of(model, {1, first + (test.n_gen - 1) / 2.0}, kv_elem_bytes).bytes;
}

}  // namespace haikuda
