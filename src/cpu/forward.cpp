#include "cpu/forward.h"

#include <cmath>

#include "cpu/ops.h"

namespace haikuda::cpu {
namespace {

std::vector<float> zeros(int n, int size) {
  return std::vector<float>(static_cast<std::size_t>(n) * static_cast<std::size_t>(size));
}

}  // namespace

Scratch::Scratch(const ModelConfig& c, int n)
    : x(zeros(n, c.n_embd)),
      h(zeros(n, c.n_embd)),
      q(zeros(n, c.q_size())),
      attended(zeros(n, c.q_size())),
      gate(zeros(n, c.n_ff)),
      up(zeros(n, c.n_ff)),
      cos_sin(zeros(n, c.rope.n_dims)),
      logits(zeros(1, c.n_vocab)) {}

Forward::Forward(const Model& model, int n_ctx, int chunk, int n_threads, bool half_cache)
    : model_(model),
      config_(model.config),
      threads_(n_threads),
      frequencies_(rope_frequencies(config_.rope, to_float(model.weights.rope_freqs))),
      output_norm_(to_float(model.weights.output_norm)),
      cache_(config_, n_ctx),
      half_cache_(half_cache),
      scratch_(config_, chunk) {
  for (const LayerWeights& w : model.weights.layers)
    vectors_.push_back({to_float(w.attn_norm), to_float(w.ffn_norm), to_float(w.attn_q_bias),
                        to_float(w.attn_k_bias), to_float(w.attn_v_bias), to_float(w.attn_q_norm),
                        to_float(w.attn_k_norm)});
}

void Forward::run(std::span<const int> tokens, int position, bool want_logits) {
  const int n = static_cast<int>(tokens.size());
  float* x = scratch_.x.data();
  first_ = position, n_ = n;
  show_tokens(tokens);
  embed(x, model_.weights.token_embd, tokens);
  show(Stage::token_embd, -1, x);
  compute_angles(n, position);
  show_angles();
  for (int layer = 0; layer < config_.n_layers; ++layer) {
    attention_block(layer, n, position);
    feed_forward_block(layer, n);
  }
  if (!want_logits) return;
  const float* last = x + std::int64_t{n - 1} * config_.n_embd;
  rms_norm(scratch_.h.data(), last, output_norm_.data(), 1, config_.n_embd, config_.rms_eps);
  show_last(Stage::output_norm, scratch_.h.data());
  matmul(scratch_.logits.data(), scratch_.h.data(), model_.weights.output, 1, threads_);
  show_last(Stage::logits, scratch_.logits.data());
}

// x += Wo · attention(rope(Wq h + bq), rope(Wk h + bk), Wv h + bv), h = norm(x)
void Forward::attention_block(int layer, int n, int position) {
  const ModelConfig& c = config_;
  const LayerWeights& w = model_.weights.layers[static_cast<std::size_t>(layer)];
  const LayerVectors& vec = vectors_[static_cast<std::size_t>(layer)];
  float *h = scratch_.h.data(), *q = scratch_.q.data(), *attended = scratch_.attended.data();
  const float* cos_sin = scratch_.cos_sin.data();
  float* k =
      cache_.k(layer) + std::int64_t{position} * c.kv_size();  // the new tokens' rows of the cache
  float* v = cache_.v(layer) + std::int64_t{position} * c.kv_size();

  rms_norm(h, scratch_.x.data(), vec.attn_norm.data(), n, c.n_embd, c.rms_eps);
  show(Stage::attn_norm, layer, h);
  matmul(q, h, w.attn_q, n, threads_);
  matmul(k, h, w.attn_k, n, threads_);
  matmul(v, h, w.attn_v, n, threads_);
  if (w.attn_q_bias) {
    add_bias(q, vec.q_bias.data(), n, c.q_size());
    add_bias(k, vec.k_bias.data(), n, c.kv_size());
    add_bias(v, vec.v_bias.data(), n, c.kv_size());
  }
  show(Stage::q, layer, q);
  show(Stage::k, layer, k);
  show(Stage::v, layer, v);
  if (w.attn_q_norm) {
    rms_norm(q, q, vec.q_norm.data(), n * c.n_heads, c.head_dim, c.rms_eps);
    rms_norm(k, k, vec.k_norm.data(), n * c.n_kv_heads, c.head_dim, c.rms_eps);
    show(Stage::q_norm, layer, q);
    show(Stage::k_norm, layer, k);
  }
  rope(q, cos_sin, n, c.n_heads, c.head_dim, c.rope.n_dims, c.rope.style);
  rope(k, cos_sin, n, c.n_kv_heads, c.head_dim, c.rope.n_dims, c.rope.style);
  if (half_cache_) {
    round_to_half(k, std::int64_t{n} * c.kv_size());
    round_to_half(v, std::int64_t{n} * c.kv_size());
  }
  show(Stage::q_rope, layer, q);
  show(Stage::k_rope, layer, k);
  attend(layer, n, position);
  show(Stage::attn_output, layer, attended);
  matmul(h, attended, w.attn_output, n, threads_);
  show(Stage::attn_proj, layer, h);
  add(scratch_.x.data(), h, std::int64_t{n} * c.n_embd);
  show(Stage::attn_residual, layer, scratch_.x.data());
}

// attended = attention(q, K, V)
void Forward::attend(int layer, int n, int position) {
  std::vector<AttentionInside> inside;
  if (probe() != nullptr && wants_inside_attention(layer))
    inside.resize(static_cast<std::size_t>(n));
  attention(scratch_.attended.data(), scratch_.q.data(), cache_.k(layer), cache_.v(layer),
            {.n = n,
             .position = position,
             .n_heads = config_.n_heads,
             .n_kv_heads = config_.n_kv_heads,
             .head_dim = config_.head_dim},
            threads_, inside);
  if (!inside.empty()) show_inside_attention(layer, inside);
}

// x += Wdown · (silu(Wgate h) · Wup h), h = norm(x)
void Forward::feed_forward_block(int layer, int n) {
  const ModelConfig& c = config_;
  const LayerWeights& w = model_.weights.layers[static_cast<std::size_t>(layer)];
  float *x = scratch_.x.data(), *h = scratch_.h.data(), *gate = scratch_.gate.data(),
        *up = scratch_.up.data();

  rms_norm(h, x, vectors_[static_cast<std::size_t>(layer)].ffn_norm.data(), n, c.n_embd, c.rms_eps);
  show(Stage::ffn_norm, layer, h);
  matmul(gate, h, w.ffn_gate, n, threads_);
  show(Stage::ffn_gate, layer, gate);
  matmul(up, h, w.ffn_up, n, threads_);
  show(Stage::ffn_up, layer, up);
  silu_mul(gate, up, std::int64_t{n} * c.n_ff);
  show(Stage::ffn_act, layer, gate);
  matmul(h, gate, w.ffn_down, n, threads_);
  show(Stage::ffn_down, layer, h);
  add(x, h, std::int64_t{n} * c.n_embd);
  show(Stage::ffn_residual, layer, x);
}

void Forward::compute_angles(int n, int position) {
  float* out = scratch_.cos_sin.data();
  for (int t = 0; t < n; ++t)
    for (const double radians : frequencies_.radians) {
      const double angle = (position + t) * radians;
      *out++ = static_cast<float>(std::cos(angle) * frequencies_.magnitude);
      *out++ = static_cast<float>(std::sin(angle) * frequencies_.magnitude);
    }
}

CachedKv Forward::cached_kv(int layer, int n_positions) {
  const float *k = cache_.k(layer), *v = cache_.v(layer);
  const std::int64_t size = std::int64_t{n_positions} * config_.kv_size();
  return {{k, k + size}, {v, v + size}};
}

std::size_t Forward::bytes() const {
  std::size_t floats = scratch_.logits.size();
  for (const auto* v : {&scratch_.x, &scratch_.h, &scratch_.q, &scratch_.attended, &scratch_.gate,
                        &scratch_.up, &scratch_.cos_sin})
    floats += v->size();
  return model_.weights.total_bytes() + cache_.bytes() + floats * sizeof(float);
}

}  // namespace haikuda::cpu
