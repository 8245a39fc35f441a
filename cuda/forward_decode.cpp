// Decoding one token, fused and op by op.
#include "cuda/forward.h"

namespace haikuda::cuda {

// One token, in five products and what lies between them. No argument of a launch depends on the
// position.
void Forward::decode_fused(bool want_logits) {
  const ModelConfig& c = config_;
  float *x = scratch_.x.data(), *attended = scratch_.attended.data();
  float *q = scratch_.q.data(), *k = scratch_.k.data(), *v = scratch_.v.data();
  const int* position = position_.data();

  embed(x, weights_.token_embd, tokens_.data(), position, 1, stream_);
  for (int layer = 0; layer < c.n_layers; ++layer) {
    const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    __half *k_cache = cache_.k(layer), *v_cache = cache_.v(layer);
    QkvVectors vectors = vectors_of(w);
    vectors.q_bias = vectors.k_bias = vectors.v_bias = nullptr;  // already in q, k and v

    const FusedProduct qkv[] = {
        {q, w.attn_q, w.attn_q_bias}, {k, w.attn_k, w.attn_k_bias}, {v, w.attn_v, w.attn_v_bias}};
    norm_gemv(qkv, x, w.attn_norm, c.rms_eps, stream_);
    attend_token(attended, scratch_.splits.data(), scratch_.arrivals.data(), q, k_cache, v_cache, k,
                 v, position, vectors, qkv_shape(1), stream_);
    gemv_add(x, w.attn_output, attended, stream_);
    gate_up_down(w);
  }
  if (!want_logits) return;
  norm_head(scratch_.logits.data(), scratch_.best.data(), scratch_.best_partial.data(),
            weights_.output, x, weights_.output_norm, c.rms_eps, stream_);
}

// x += down · (silu(gate · n) · (up · n)), n the norm of x, by the form of the activations that
// suits the types.
void Forward::gate_up_down(const DeviceLayerWeights& w) {
  float *x = scratch_.x.data(), *gate = scratch_.gate.data(), *up = scratch_.up.data();
  const float eps = config_.rms_eps;
  if (gate_up_should_quantize(w.ffn_gate, w.ffn_up, w.ffn_down)) {
    const QuantizedActivations act{scratch_.act_quants.data(), scratch_.act_blocks.data()};
    norm_gate_up(act, w.ffn_gate, w.ffn_up, x, w.ffn_norm, eps, stream_);
    gemv_add(x, w.ffn_down, act, stream_);
    return;
  }
  if (w.ffn_gate.dtype == w.ffn_up.dtype) {
    norm_gate_up(gate, w.ffn_gate, w.ffn_up, x, w.ffn_norm, eps, stream_);
  } else {
    const FusedProduct products[] = {{gate, w.ffn_gate, nullptr}, {up, w.ffn_up, nullptr}};
    norm_gemv(products, x, w.ffn_norm, eps, stream_);
    silu_mul(gate, up, config_.n_ff, stream_);
  }
  gemv_add(x, w.ffn_down, gate, stream_);
}

// The same token op by op, every stage of which a probe can see.
void Forward::decode_steps(bool want_logits) {
  const ModelConfig& c = config_;
  float *x = scratch_.x.data(), *h = scratch_.h.data(), *attended = scratch_.attended.data();
  float *q = scratch_.q.data(), *k = scratch_.k.data(), *v = scratch_.v.data();
  float *gate = scratch_.gate.data(), *up = scratch_.up.data();
  const int* position = position_.data();

  embed(x, weights_.token_embd, tokens_.data(), position, 1, stream_);
  show_inputs();
  for (int layer = 0; layer < c.n_layers; ++layer) {
    const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    __half *k_cache = cache_.k(layer), *v_cache = cache_.v(layer);

    rms_norm(h, x, w.attn_norm, 1, c.n_embd, c.rms_eps, stream_);
    show(Stage::attn_norm, layer, h);
    gemv(q, h, w.attn_q, 1, stream_);
    gemv(k, h, w.attn_k, 1, stream_);
    gemv(v, h, w.attn_v, 1, stream_);
    finish_qkv(q, k_cache, v_cache, k, v, position, vectors_of(w), qkv_shape(1), stream_);
    show_qkv(layer);
    attention_decode(attended, scratch_.splits.data(), q, k_cache, v_cache, position,
                     attention_shape(1), stream_);
    show(Stage::attn_output, layer, attended);
    gemv(h, attended, w.attn_output, 1, stream_);
    show(Stage::attn_proj, layer, h);
    add(x, h, c.n_embd, stream_);
    show(Stage::attn_residual, layer, x);

    rms_norm(h, x, w.ffn_norm, 1, c.n_embd, c.rms_eps, stream_);
    show(Stage::ffn_norm, layer, h);
    gemv(gate, h, w.ffn_gate, 1, stream_);
    gemv(up, h, w.ffn_up, 1, stream_);
    show(Stage::ffn_gate, layer, gate);
    show(Stage::ffn_up, layer, up);
    silu_mul(gate, up, c.n_ff, stream_);
    show(Stage::ffn_act, layer, gate);
    gemv(h, gate, w.ffn_down, 1, stream_);
    show(Stage::ffn_down, layer, h);
    add(x, h, c.n_embd, stream_);
    show(Stage::ffn_residual, layer, x);
  }
  if (want_logits) head_steps(x);
}

}  // namespace haikuda::cuda
