// Prompts of more than a few tokens, whose matrices are multiplied in half.
#include "cuda/forward.h"

namespace haikuda::cuda {

// Nine launches a layer. The residual stream stays in F32; what lies between is half, times powers
// of two that half_scales.h explains.
void Forward::prefill_half(int n, bool want_logits) {
  const ModelConfig& c = config_;
  float* x = scratch_.x.data();
  if (half_scales_.empty()) half_scales_ = half_scales(model_, weights_, stream_);

  embed(x, weights_.token_embd, tokens_.data(), position_.data(), n, stream_);
  show_inputs();
  for (int layer = 0; layer < c.n_layers; ++layer) {
    attend_half(layer, n);
    show(Stage::attn_residual, layer, x);
    feed_forward_half(layer, n);
    show(Stage::ffn_residual, layer, x);
  }
  if (want_logits) head_half(x + std::int64_t{n - 1} * c.n_embd);
}

// x += attn_output · attention(q, k, v of norm(x))
void Forward::attend_half(int layer, int n) {
  const ModelConfig& c = config_;
  const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
  const LayerHalfScales& scales = half_scales_[static_cast<std::size_t>(layer)];
  float *x = scratch_.x.data(), *qkv = scratch_.qkv.data();
  __half *norm = scratch_.norm_half.data(), *attended = scratch_.q_half.data();
  __half *k_cache = cache_.k(layer), *v_cache = cache_.v(layer);
  const HalfQueries q{attended, scratch_.q_scale.data()};
  const int qkv_size = c.q_size() + 2 * c.kv_size();

  rms_norm_half(norm, x, w.attn_norm, n, {c.n_embd, c.rms_eps, scales.attn_norm}, stream_);
  show_half(Stage::attn_norm, layer, norm, {.stride = c.n_embd, .factor = 1 / scales.attn_norm});
  const DeviceTensor projections[] = {w.attn_q, w.attn_k, w.attn_v};
  gemm_.multiply({.y = qkv,
                  .y_is_half = false,
                  .y_stride = qkv_size,
                  .x = norm,
                  .x_stride = c.n_embd,
                  .w = projections,
                  .n = n,
                  .alpha = 1 / scales.attn_norm,
                  .beta = 0});
  finish_qkv_half(q, k_cache, v_cache, qkv, position_.data(), vectors_of(w), qkv_shape(n), stream_);
  if (tap())
    tap()->show_qkv(layer, w.attn_q_norm != nullptr,
                    tap()->widened(q.rows, c.n_heads, c.head_dim,
                                   {.stride = c.head_dim, .row_factors = q.scale}),
                    k_cache);
  attention_half(attended, q, k_cache, v_cache, position_.data(), attention_shape(n), stream_);
  show_half(Stage::attn_output, layer, attended, {.stride = c.q_size()});
  const HalfProduct output{.y = x,
                           .y_is_half = false,
                           .y_stride = c.n_embd,
                           .x = attended,
                           .x_stride = c.q_size(),
                           .w = {&w.attn_output, 1},
                           .n = n,
                           .alpha = 1,
                           .beta = 1};
  show_output(Stage::attn_proj, layer, output);
  gemm_.multiply(output);
}

// x += ffn_down · (silu(gate) · up), gate and up of norm(x)
void Forward::feed_forward_half(int layer, int n) {
  const ModelConfig& c = config_;
  const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
  const LayerHalfScales& scales = half_scales_[static_cast<std::size_t>(layer)];
  float *x = scratch_.x.data(), *h = scratch_.qkv.data(), *row_scale = scratch_.act_scale.data();
  __half *norm = scratch_.norm_half.data(), *gate_up = scratch_.gate_up.data();
  const bool by_row = scales.act == 0;

  rms_norm_half(norm, x, w.ffn_norm, n, {c.n_embd, c.rms_eps, scales.ffn_norm}, stream_);
  show_half(Stage::ffn_norm, layer, norm, {.stride = c.n_embd, .factor = 1 / scales.ffn_norm});
  const DeviceTensor matrices[] = {w.ffn_gate, w.ffn_up};
  gemm_.multiply({.y = gate_up,
                  .y_is_half = true,
                  .y_stride = 2 * c.n_ff,
                  .x = norm,
                  .x_stride = c.n_embd,
                  .w = matrices,
                  .n = n,
                  .alpha = scales.gate_up / scales.ffn_norm,
                  .beta = 0});
  const HalfRows gate_rows{.stride = 2 * c.n_ff, .factor = 1 / scales.gate_up};
  show_half(Stage::ffn_gate, layer, gate_up, gate_rows);
  show_half(Stage::ffn_up, layer, gate_up + c.n_ff, gate_rows);
  if (by_row)
    silu_mul_half_rows(gate_up, row_scale, n, c.n_ff, gate_rows.factor, stream_);
  else
    silu_mul_half(gate_up, n, c.n_ff, gate_rows.factor, scales.act, stream_);
  const float unscale = by_row ? 1 : 1 / scales.act;
  show_half(Stage::ffn_act, layer, gate_up,
            {.stride = 2 * c.n_ff, .factor = unscale, .row_factors = by_row ? row_scale : nullptr});
  const HalfProduct down{.y = by_row ? h : x,
                         .y_is_half = false,
                         .y_stride = c.n_embd,
                         .x = gate_up,
                         .x_stride = 2 * c.n_ff,
                         .w = {&w.ffn_down, 1},
                         .n = n,
                         .alpha = unscale,
                         .beta = by_row ? 0.0f : 1.0f};
  show_output(Stage::ffn_down, layer, down);
  gemm_.multiply(down);
  if (by_row) add_scaled_rows(x, h, row_scale, n, c.n_embd, stream_);
}

// What a product adds to the residual stream, computed once more where it can be seen alone.
void Forward::show_output(Stage stage, int layer, HalfProduct product) {
  if (!tap() || !tap()->wants(stage, layer)) return;
  product.y = scratch_.qkv.data();
  product.beta = 0;
  gemm_.multiply(product);
  if (stage == Stage::ffn_down && half_scales_[static_cast<std::size_t>(layer)].act == 0)
    unscale_rows(scratch_.qkv.data(), scratch_.act_scale.data(), product.n, config_.n_embd,
                 stream_);
  show(stage, layer, scratch_.qkv.data());
}

// x (n_embd) is of the last token.
void Forward::head_half(const float* x) {
  float *h = scratch_.h.data(), *logits = scratch_.logits.data();
  if (tap()) {
    rms_norm(h, x, weights_.output_norm, 1, config_.n_embd, config_.rms_eps, stream_);
    show_last(Stage::output_norm, h);
  }
  norm_head(logits, scratch_.best.data(), scratch_.best_partial.data(), weights_.output, x,
            weights_.output_norm, config_.rms_eps, stream_);
  show_last(Stage::logits, logits);
}

}  // namespace haikuda::cuda
