// Decoding one token, fused and op by op.
#include "cuda/forward.h"

#include "cuda/kernels/gemv_params.h"

namespace haikuda::cuda {

void Forward::decode_fused(bool want_logits) {
  const int n_partial = enqueue_token(want_logits);
  if (want_logits) finish_best(n_partial);
}

int Forward::step() {
  return enqueue_token(true);
}

int Forward::step_greedily(int n_ahead, const SampleBuffers& sample) {
  program_->run_greedy(n_ahead, sample, stream_);
  return program_->n_blocks();
}

// One token, in one kernel where there is a program, otherwise as a chain: five products a layer
// and what lies between them. No argument of a launch depends on the position. Returns how many
// parts of the best logit, where wanted, lie in best_partial().
int Forward::enqueue_token(bool want_logits) {
  embed(scratch_.x.data(), weights_.token_embd, tokens_.data(), position_.data(), 1, stream_);
  if (program_) {
    program_->run(want_logits, stream_);
    return program_->n_blocks();
  }
  decode_layers();
  return want_logits ? head() : 0;
}

// Of the parts of enqueue_token() or head().
void Forward::finish_best(int n_partial) {
  finish_argmax(scratch_.best.data(), scratch_.best_partial.data(), n_partial, stream_);
}

void Forward::decode_layers() {
  float* x = scratch_.x.data();
  for (int layer = 0; layer < config_.n_layers; ++layer) {
    const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    project(w);
    attend(layer);
    gemv_add(x, w.attn_output, scratch_.attended.data(), stream_);
    gate_up_down(w);
  }
}

// q, k, v = W · norm(x) + bias
void Forward::project(const DeviceLayerWeights& w) {
  const FusedProduct products[] = {{scratch_.q.data(), w.attn_q, w.attn_q_bias},
                                   {scratch_.k.data(), w.attn_k, w.attn_k_bias},
                                   {scratch_.v.data(), w.attn_v, w.attn_v_bias}};
  norm_gemv(products, scratch_.x.data(), w.attn_norm, config_.rms_eps, stream_);
}

// Of q, k and v as project() leaves them: with their biases.
QkvVectors Forward::projected_vectors_of(const DeviceLayerWeights& w) const {
  QkvVectors vectors = vectors_of(w);
  vectors.q_bias = vectors.k_bias = vectors.v_bias = nullptr;
  return vectors;
}

// attended = attention(rope(q), K, V), with rope(k) and v in the cache
void Forward::attend(int layer) {
  const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
  attend_token(scratch_.attended.data(), scratch_.splits.data(), scratch_.arrivals.data(),
               scratch_.q.data(), cache_.k(layer), cache_.v(layer), scratch_.k.data(),
               scratch_.v.data(), position_.data(), projected_vectors_of(w), qkv_shape(1), stream_);
}

// Of scratch_.x; returns how many parts of the best lie in best_partial().
int Forward::head() {
  return norm_head(scratch_.logits.data(), nullptr, scratch_.best_partial.data(), weights_.output,
                   scratch_.x.data(), weights_.output_norm, config_.rms_eps, stream_);
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

// The same token op by op: a second opinion.
void Forward::decode_steps(bool want_logits) {
  const ModelConfig& c = config_;
  float *x = scratch_.x.data(), *h = scratch_.h.data(), *attended = scratch_.attended.data();
  float *q = scratch_.q.data(), *k = scratch_.k.data(), *v = scratch_.v.data();
  float *gate = scratch_.gate.data(), *up = scratch_.up.data();
  const int* position = position_.data();

  embed(x, weights_.token_embd, tokens_.data(), position, 1, stream_);
  for (int layer = 0; layer < c.n_layers; ++layer) {
    const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    __half *k_cache = cache_.k(layer), *v_cache = cache_.v(layer);

    rms_norm(h, x, w.attn_norm, 1, c.n_embd, c.rms_eps, stream_);
    gemv(q, h, w.attn_q, 1, stream_);
    gemv(k, h, w.attn_k, 1, stream_);
    gemv(v, h, w.attn_v, 1, stream_);
    finish_qkv(q, k_cache, v_cache, k, v, position, vectors_of(w), qkv_shape(1), stream_);
    attention_decode(attended, scratch_.splits.data(), q, k_cache, v_cache, position,
                     attention_shape(1), stream_);
    gemv(h, attended, w.attn_output, 1, stream_);
    add(x, h, c.n_embd, stream_);

    rms_norm(h, x, w.ffn_norm, 1, c.n_embd, c.rms_eps, stream_);
    gemv(gate, h, w.ffn_gate, 1, stream_);
    gemv(up, h, w.ffn_up, 1, stream_);
    silu_mul(gate, up, c.n_ff, stream_);
    gemv(h, gate, w.ffn_down, 1, stream_);
    add(x, h, c.n_embd, stream_);
  }
  if (want_logits) head_steps(x);
}

}  // namespace haikuda::cuda
