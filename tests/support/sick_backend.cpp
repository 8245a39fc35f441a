#include "support/sick_backend.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "base/half.h"
#include "base/thread_pool.h"
#include "cpu/ops.h"
#include "model/rope_frequencies.h"
#include "quant/dequantize.h"

namespace haikuda::test {
namespace {

using Row = std::vector<float>;

Row zeros(int n) {
  return Row(static_cast<std::size_t>(n));
}

float as_half(double x) {
  return half_to_float(float_to_half(static_cast<float>(x)));
}

// To the bits of a half, times a power of two that keeps it in range.
float with_bits_of_half(float x) {
  int exponent = 0;
  const float mantissa = std::frexp(x, &exponent);  // 11 bits from 2^-1 on
  return std::isfinite(x) ? std::ldexp(as_half(static_cast<double>(mantissa)), exponent) : x;
}

class SickBackend : public Backend {
 public:
  SickBackend(const Model& model, int n_ctx, Fault fault, Imitated device)
      : model_(model), config_(model.config), n_ctx_(n_ctx), fault_(fault), device_(device) {
    const auto slots =
        static_cast<std::size_t>(n_ctx + 1) * static_cast<std::size_t>(config_.kv_size());
    k_.assign(model.weights.layers.size(), Row(slots));
    v_ = k_;
    logits_ = zeros(config_.n_vocab);
    RopeConfig rope = config_.rope;
    frequencies_ = rope_frequencies(rope, to_float(model.weights.rope_freqs));
    rope.freq_base = rope.freq_base == 10000 ? 1000000 : 10000;
    other_frequencies_ = rope_frequencies(rope, to_float(model.weights.rope_freqs));
  }

  void append(std::span<const int> tokens) override {
    pass_first_ = position_;
    in_half_ = device_ == Imitated::gpu && tokens.size() > 1;
    if (fault_ == Fault::k_rotated_twice)
      for (int p = 0; p < position_; ++p)
        rotate(slot(k_, kSickLayer, p), config_.n_kv_heads, kSickLayer, p);
    for (const int token : tokens) {
      run(token);
      ++position_;
    }
  }
  std::span<const float> logits() override { return logits_; }
  int argmax() override { return cpu::argmax(logits_); }
  int position() const override { return position_; }
  int n_ctx() const override { return n_ctx_; }
  void truncate(int n_tokens) override { position_ = n_tokens; }
  CachedKv cached_kv(int layer) override {
    const auto n = static_cast<std::ptrdiff_t>(position_) * config_.kv_size();
    const Row &k = k_[static_cast<std::size_t>(layer)], &v = v_[static_cast<std::size_t>(layer)];
    return {{k.begin(), k.begin() + n}, {v.begin(), v.begin() + n}};
  }
  std::string device_name() const override { return "a sick CPU"; }
  std::size_t device_bytes() const override { return 0; }

 private:
  bool has(Fault fault, int layer) const { return fault_ == fault && layer == kSickLayer; }

  float* slot(std::vector<Row>& cache, int layer, int p) {
    return cache[static_cast<std::size_t>(layer)].data() + std::int64_t{p} * config_.kv_size();
  }

  void show(Stage stage, int layer, std::span<const float> row, int n_keys = 0) {
    if (probe() == nullptr || !probe()->wants(stage, layer, position_, 1)) return;
    probe()->show({.stage = stage,
                   .layer = layer,
                   .position = position_,
                   .n_rows = 1,
                   .row_shape = stage_row_shape(stage, config_, n_keys),
                   .values = row});
  }

  Row product(const TensorView& w, const Row& x, bool untransposed = false) {
    Row out = zeros(static_cast<int>(w.rows));
    if (in_half_ && !untransposed && w.data != model_.weights.output.data)
      return product_in_half(w, x);
    if (!untransposed) {
      cpu::matmul(out.data(), x.data(), w, 1, threads_);
      return out;
    }
    Row flat(static_cast<std::size_t>(w.size()));
    dequantize_row(w.dtype, w.data, flat.data(), w.size());
    for (std::size_t i = 0; i < flat.size(); ++i)
      out[i % out.size()] += flat[i] * x[i / out.size()];
    return out;
  }

  Row product_in_half(const TensorView& w, const Row& x) {
    Row& flat = halves_[w.data];
    if (flat.empty()) {
      flat.resize(static_cast<std::size_t>(w.size()));
      for (std::int64_t r = 0; r < w.rows; ++r)
        dequantize_row(w.dtype, w.row(r), flat.data() + r * w.cols, w.cols);
      cpu::round_to_half(flat.data(), w.size());
    }
    Row out(static_cast<std::size_t>(w.rows));
    for (std::size_t r = 0; r < out.size(); ++r) {
      const float* row = flat.data() + r * x.size();
      float sums[8] = {};
      for (std::size_t i = 0; i < x.size(); i += 8)
        for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += row[i + lane] * x[i + lane];
      for (const float sum : sums) out[r] += sum;
    }
    return out;
  }

  // What lies between two products of a prompt.
  Row kept(Row row) const {
    if (in_half_)
      for (float& x : row) x = with_bits_of_half(x);
    return row;
  }

  Row norm(const Row& x, const TensorView& weight, int layer) {
    Row w = to_float(weight);
    if (has(Fault::no_norm_weight, layer)) std::fill(w.begin(), w.end(), 1.0f);
    const float eps = has(Fault::norm_epsilon, layer) ? 0.5f : config_.rms_eps;
    Row out(x.size());
    const auto size = static_cast<int>(w.size());
    cpu::rms_norm(out.data(), x.data(), w.data(), static_cast<int>(x.size()) / size, size, eps);
    return out;
  }

  void rotate(float* x, int n_heads, int layer, int position) {
    const bool neox = config_.rope.style == RopeStyle::neox;
    const RopeStyle other = neox ? RopeStyle::interleaved : RopeStyle::neox;
    const RopeFrequencies& f =
        has(Fault::other_rope_base, layer) ? other_frequencies_ : frequencies_;
    Row cos_sin;
    for (const double radians : f.radians) {
      const double angle = has(Fault::rope_position_zero, layer) ? 0 : position * radians;
      cos_sin.push_back(static_cast<float>(std::cos(angle) * f.magnitude));
      cos_sin.push_back(static_cast<float>(std::sin(angle) * f.magnitude));
    }
    cpu::rope(x, cos_sin.data(), 1, n_heads, config_.head_dim, config_.rope.n_dims,
              has(Fault::other_rope_style, layer) ? other : config_.rope.style);
  }

  void run(int token) {
    Row x = zeros(config_.n_embd);
    const int read = fault_ == Fault::embedding_off_by_one ? (token + 1) % config_.n_vocab : token;
    cpu::embed(x.data(), model_.weights.token_embd, std::span(&read, 1));
    show(Stage::token_embd, -1, x);
    show_angles();
    for (int layer = 0; layer < config_.n_layers; ++layer) {
      attention_block(x, layer);
      feed_forward_block(x, layer);
    }
    const Row h = norm(x, model_.weights.output_norm, -1);
    show(Stage::output_norm, -1, h);
    if (fault_ == Fault::output_not_tied)  // any other matrix: the rows in another order
      for (int r = 0; r < config_.n_vocab; ++r) {
        TensorView row = model_.weights.output;
        row.data = row.row((r + 7) % config_.n_vocab);
        row.rows = 1;
        logits_[static_cast<std::size_t>(r)] = product(row, h)[0];
      }
    else
      logits_ = product(model_.weights.output, h, fault_ == Fault::untransposed_output);
    show(Stage::logits, -1, logits_);
  }

  void show_angles() {
    Row theta;
    for (const double radians : frequencies_.radians)
      theta.push_back(static_cast<float>(position_ * radians));
    show(Stage::rope_theta, -1, theta);
  }

  void attention_block(Row& x, int layer) {
    const LayerWeights& w = model_.weights.layers[static_cast<std::size_t>(layer)];
    const Row h = kept(norm(x, w.attn_norm, layer));
    show(Stage::attn_norm, layer, h);
    Row q = product(w.attn_q, h), v = product(w.attn_v, h),
        k = product(w.attn_k, h, has(Fault::untransposed_k, layer));
    const auto add = [&](Row& y, const TensorView& bias, Fault missing) {
      if (bias && !has(missing, layer))
        cpu::add(y.data(), to_float(bias).data(), static_cast<std::int64_t>(y.size()));
    };
    add(q, w.attn_q_bias, Fault::no_q_bias);
    add(k, w.attn_k_bias, Fault::no_k_bias);
    add(v, w.attn_v_bias, Fault::no_v_bias);
    show(Stage::q, layer, q);
    show(Stage::k, layer, k);
    show(Stage::v, layer, v);
    if (w.attn_q_norm) {
      q = norm(q, w.attn_q_norm, -1);
      k = norm(k, w.attn_k_norm, -1);
      show(Stage::q_norm, layer, q);
      show(Stage::k_norm, layer, k);
    }
    rotate(q.data(), config_.n_heads, layer, position_);
    rotate(k.data(), config_.n_kv_heads, layer, position_);
    q = kept(std::move(q));
    if (device_ == Imitated::gpu) {
      cpu::round_to_half(k.data(), config_.kv_size());
      cpu::round_to_half(v.data(), config_.kv_size());
    }
    const int at = position_ + (has(Fault::kv_slot_off_by_one, layer) ? 1 : 0);
    std::copy(k.begin(), k.end(), slot(k_, layer, at));
    std::copy(v.begin(), v.end(), slot(v_, layer, at));
    show(Stage::q_rope, layer, q);
    if (device_ == Imitated::gpu)
      show(Stage::k_rope, layer, {slot(k_, layer, position_), k.size()});
    else
      show(Stage::k_rope, layer, k);
    const Row projected = product(w.attn_output, attend(q, layer));
    show(Stage::attn_proj, layer, projected);
    cpu::add(x.data(), projected.data(), config_.n_embd);
    show(Stage::attn_residual, layer, x);
  }

  Row attend(const Row& q, int layer) {
    if (device_ == Imitated::gpu) {
      const Fault fault = std::exchange(fault_, Fault::none);
      const bool in_half = std::exchange(in_half_, false);
      (void)attend_in(q, layer, true);
      fault_ = fault;
      in_half_ = in_half;
    }
    Row out = kept(attend_in(q, layer, device_ == Imitated::cpu));
    show(Stage::attn_output, layer, out);
    return out;
  }

  Row attend_in(const Row& q, int layer, bool shows) {
    const int n_keys = position_ + 1, head_dim = config_.head_dim;
    Row scores, max, sum, weights, out = zeros(config_.q_size());
    for (int h = 0; h < config_.n_heads; ++h) {
      const int kv_head = has(Fault::gqa_by_modulo, layer)
                              ? h % config_.n_kv_heads
                              : h / (config_.n_heads / config_.n_kv_heads);
      const float scale =
          has(Fault::no_attention_scale, layer) ? 1 : 1 / std::sqrt(static_cast<float>(head_dim));
      const float* q_head = q.data() + h * head_dim;
      float* out_head = out.data() + h * head_dim;
      Row row;
      for (int key = 0; key < n_keys; ++key) {
        const float* k = slot(k_, layer, key) + kv_head * head_dim;
        float dot = 0;
        for (int d = 0; d < head_dim; ++d) dot += q_head[d] * k[d];
        row.push_back(scale * dot);
      }
      scores.insert(scores.end(), row.begin(), row.end());
      softmax(row, layer, max, sum);
      row = kept(std::move(row));
      weights.insert(weights.end(), row.begin(), row.end());
      for (int key = 0; key < n_keys; ++key)
        for (int d = 0; d < head_dim; ++d)
          out_head[d] +=
              row[static_cast<std::size_t>(key)] * slot(v_, layer, key)[kv_head * head_dim + d];
    }
    if (!shows) return out;
    show(Stage::attn_scores, layer, scores, n_keys);
    show(Stage::attn_max, layer, max);
    show(Stage::attn_sum, layer, sum);
    show(Stage::attn_weights, layer, weights, n_keys);
    return out;
  }

  // In place; appends what was subtracted and what was divided by.
  void softmax(Row& row, int layer, Row& max, Row& sum) {
    const bool in_half = has(Fault::softmax_f16_without_max, layer);
    const auto first = has(Fault::mask_without_past, layer) ? static_cast<std::size_t>(pass_first_)
                                                            : std::size_t{0};
    max.push_back(in_half ? 0 : *std::max_element(row.begin(), row.end()));
    float total = 0;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const float e = std::exp(row[i] - max.back());
      row[i] = i < first ? 0 : in_half ? as_half(e) : e;
      total = in_half ? as_half(total + row[i]) : total + row[i];
    }
    for (float& w : row) w = in_half ? as_half(w / total) : w / total;
    sum.push_back(total);
  }

  void feed_forward_block(Row& x, int layer) {
    const LayerWeights& w = model_.weights.layers[static_cast<std::size_t>(layer)];
    const Row h = kept(norm(x, w.ffn_norm, -1));
    show(Stage::ffn_norm, layer, h);
    Row gate = kept(product(w.ffn_gate, h));
    const Row up = kept(product(w.ffn_up, h));
    show(Stage::ffn_gate, layer, gate);
    show(Stage::ffn_up, layer, up);
    cpu::silu_mul(gate.data(), up.data(), config_.n_ff);
    gate = kept(std::move(gate));
    show(Stage::ffn_act, layer, gate);
    const Row down = product(w.ffn_down, gate);
    show(Stage::ffn_down, layer, down);
    cpu::add(x.data(), down.data(), config_.n_embd);
    show(Stage::ffn_residual, layer, x);
  }

  const Model& model_;
  const ModelConfig& config_;
  int n_ctx_, position_ = 0, pass_first_ = 0;
  Fault fault_;
  Imitated device_;
  bool in_half_ = false;                      // a prompt, on a GPU
  std::map<const std::byte*, Row> halves_{};  // matrices that were used in half
  std::vector<Row> k_, v_;                    // of each layer (n_ctx + 1, kv_size)
  Row logits_;
  RopeFrequencies frequencies_, other_frequencies_;
  ThreadPool threads_{1};
};

}  // namespace

std::unique_ptr<Backend> make_sick_backend(const Model& model,
                                           int n_ctx,
                                           Fault fault,
                                           Imitated device) {
  return std::make_unique<SickBackend>(model, n_ctx, fault, device);
}

}  // namespace haikuda::test
