#include "cuda/token_shapes.h"

#include <algorithm>
#include <climits>
#include <cmath>
#include <initializer_list>
#include <iterator>

#include "cuda/layout.h"

namespace haikuda::cuda {

TokenShape token_shape(TokenOutput output,
                       std::span<const DeviceTensor> matrices,
                       BlockRange blocks) {
  const DeviceTensor& of_all = matrices.front();
  const TokenKind kind = token_kind(of_all.dtype);
  TokenShape shape{};
  shape.output = output, shape.dtype = of_all.dtype, shape.cols = of_all.cols;
  shape.inverse_cols = 1.0f / static_cast<float>(of_all.cols);
  std::fill(std::begin(shape.first_row), std::end(shape.first_row), INT_MAX);
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    shape.first_row[m] = shape.first_out[m] = shape.n_rows;
    shape.n_rows += matrices[m].rows;
  }
  shape.row_stride = static_cast<int>(planes_of(of_all).stride);
  const bool is_gate_up = output == TokenOutput::gate_up;
  const int n_pairs = is_gate_up ? shape.n_rows / 2 : pairs_of(shape.n_rows);
  shape.unit = is_gate_up ? 4 : 1;  // four values are handed on together
  shape.act_order = kind == TokenKind::f16 ? kActOfF16 : kActInOrder;
  shape.wants_sums = kind == TokenKind::integers && of_all.dtype != DType::Q8_0;
  const int n_shares = n_pairs / shape.unit;
  shape.first_block = blocks.first;
  shape.pairs_of_block = n_shares / blocks.n * shape.unit;
  shape.n_longer = n_shares % blocks.n;
  return shape;
}

namespace {

class StepList {
 public:
  // Steps of a kind, of so many matrices of a type have one shape, the first output of which is
  // `first_out`.
  void add(TokenStepOfLayer kind,
           TokenOutput output,
           std::initializer_list<DeviceTensor> matrices,
           BlockRange blocks,
           const float* gamma,
           std::initializer_list<const float*> biases = {},
           int first_out = 0) {
    const DType dtype = matrices.begin()->dtype;
    const auto known = std::find_if(known_.begin(), known_.end(), [&](const Known& k) {
      return k.step == kind && k.dtype == dtype && k.n_matrices == matrices.size();
    });
    const auto index = static_cast<int>(known - known_.begin());
    if (known == known_.end()) {
      known_.push_back({kind, dtype, matrices.size()});
      TokenShape shape = token_shape(output, std::span(matrices.begin(), matrices.size()), blocks);
      shape.step = kind;
      for (int& out : shape.first_out) out += first_out;
      shapes.push_back(shape);
    }
    TokenStep step{};
    step.shape = index, step.gamma = gamma;
    std::transform(matrices.begin(), matrices.end(), step.data,
                   [](const DeviceTensor& w) { return static_cast<const std::uint8_t*>(w.data); });
    std::copy(biases.begin(), biases.end(), step.bias);
    steps.push_back(step);
  }
  void add_none() { steps.push_back({}); }

  std::vector<TokenShape> shapes;
  std::vector<TokenStep> steps;

 private:
  struct Known {
    TokenStepOfLayer step;
    DType dtype;
    std::size_t n_matrices;
  };
  std::vector<Known> known_;
};

// v of another type than q and k, beside which other blocks multiply it.
bool has_v_step(const DeviceLayerWeights& w) {
  return w.attn_v.dtype != w.attn_q.dtype;
}
// As many as take as long for v as the others do for q and k.
int blocks_of_v(const DeviceWeights& weights, int n_blocks) {
  const auto w = std::find_if(weights.layers.begin(), weights.layers.end(), has_v_step);
  if (w == weights.layers.end()) return 0;
  const auto bytes = [](const DeviceTensor& t) {
    return static_cast<double>(matrix_bytes(t.dtype, t.rows, t.cols));
  };
  const double of_v = bytes(w->attn_v), of_all = of_v + bytes(w->attn_q) + bytes(w->attn_k);
  const int n = static_cast<int>(std::lround(n_blocks * of_v / of_all));
  return std::clamp(n, 1, std::min(n_blocks - 1, pairs_of(w->attn_v.rows)));
}

}  // namespace

TokenKind kind_of(const DeviceWeights& weights) {
  const TokenKind kind = token_kind(weights.output.dtype);
  const bool suits = std::all_of(weights.layers.begin(), weights.layers.end(), [&](const auto& w) {
    const DeviceTensor matrices[] = {w.attn_q,   w.attn_k, w.attn_v,  w.attn_output,
                                     w.ffn_gate, w.ffn_up, w.ffn_down};
    return w.attn_q.dtype == w.attn_k.dtype && w.ffn_gate.dtype == w.ffn_up.dtype &&
           std::all_of(std::begin(matrices), std::end(matrices),
                       [&](const DeviceTensor& m) { return token_kind(m.dtype) == kind; });
  });
  return suits ? kind : TokenKind::none;
}

bool has_type(TokenKind kind, IntegerTypes types, DType dtype) {
  if (token_kind(dtype) != kind) return false;
  if (kind != TokenKind::integers || types == IntegerTypes::all) return true;
  if (dtype == DType::Q8_0) return true;
  return types == IntegerTypes::q4_k_m &&
         (dtype == DType::Q5_0 || dtype == DType::Q4_K || dtype == DType::Q6_K);
}

IntegerTypes integer_types(std::span<const TokenShape> shapes) {
  for (const IntegerTypes types : {IntegerTypes::q8_0, IntegerTypes::q4_k_m})
    if (std::all_of(shapes.begin(), shapes.end(), [types](const TokenShape& s) {
          return has_type(TokenKind::integers, types, s.dtype);
        }))
      return types;
  return IntegerTypes::all;
}

TokenSteps token_steps(const DeviceWeights& weights, int n_blocks) {
  const BlockRange all{0, n_blocks}, of_v{0, blocks_of_v(weights, n_blocks)},
      others{of_v.n, n_blocks - of_v.n};
  StepList list;
  using enum TokenOutput;
  for (const DeviceLayerWeights& w : weights.layers) {
    if (has_v_step(w)) {
      list.add(kTokenQkv, vector, {w.attn_q, w.attn_k}, others, w.attn_norm,
               {w.attn_q_bias, w.attn_k_bias});
      list.add(kTokenV, vector, {w.attn_v}, of_v, w.attn_norm, {w.attn_v_bias},
               w.attn_q.rows + w.attn_k.rows);
    } else {
      list.add(kTokenQkv, vector, {w.attn_q, w.attn_k, w.attn_v}, all, w.attn_norm,
               {w.attn_q_bias, w.attn_k_bias, w.attn_v_bias});
      list.add_none();
    }
    list.add(kTokenOutput, vector, {w.attn_output}, all, nullptr);
    list.add(kTokenGateUp, gate_up, {w.ffn_gate, w.ffn_up}, all, w.ffn_norm);
    list.add(kTokenDown, vector, {w.ffn_down}, all, nullptr);
  }
  list.add(kTokenSteps, logits, {weights.output}, all, weights.output_norm);
  list.add_none();
  return {std::move(list.shapes), std::move(list.steps), of_v.n};
}

}  // namespace haikuda::cuda
