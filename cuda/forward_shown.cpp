// Decoding one token while a probe looks.
#include "cuda/forward.h"

namespace haikuda::cuda {

// Runs the kernels of decode_fused on the same values, so that looking changes no bit. q, k, v, the
// keys in the cache, the output of attention, both residual streams and the logits are theirs. What
// they keep to themselves is computed beside them, from the same inputs, by the ops of
// decode_steps.
void Forward::decode_shown(bool want_logits) {
  const ModelConfig& c = config_;
  float *x = scratch_.x.data(), *h = scratch_.h.data(), *attended = scratch_.attended.data();
  float *gate = scratch_.gate.data(), *up = scratch_.up.data();

  embed(x, weights_.token_embd, tokens_.data(), position_.data(), 1, stream_);
  show_inputs();
  for (int layer = 0; layer < c.n_layers; ++layer) {
    const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    rms_norm(h, x, w.attn_norm, 1, c.n_embd, c.rms_eps, stream_);
    show(Stage::attn_norm, layer, h);
    project(w);
    float* rotated_q = tap_->rotated_q();
    CUDA_CHECK(cudaMemcpyAsync(rotated_q, scratch_.q.data(),
                               static_cast<std::size_t>(c.q_size()) * sizeof(float),
                               cudaMemcpyDeviceToDevice, stream_));
    finish_qkv(rotated_q, cache_.k(layer), cache_.v(layer), scratch_.k.data(), scratch_.v.data(),
               position_.data(), projected_vectors_of(w), qkv_shape(1), stream_);
    attend(layer);  // overwrites what finish_qkv wrote into the cache
    tap_->show_qkv(layer, w.attn_q_norm != nullptr, rotated_q, cache_.k(layer));
    show(Stage::attn_output, layer, attended);
    gemv(h, attended, w.attn_output, 1, stream_);
    show(Stage::attn_proj, layer, h);
    gemv_add(x, w.attn_output, attended, stream_);
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
    gate_up_down(w);
    show(Stage::ffn_residual, layer, x);
  }
  if (!want_logits) return;
  rms_norm(h, x, weights_.output_norm, 1, c.n_embd, c.rms_eps, stream_);
  show_last(Stage::output_norm, h);
  (void)head(scratch_.best.data());
  show_last(Stage::logits, scratch_.logits.data());
}

}  // namespace haikuda::cuda
