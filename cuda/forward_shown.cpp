// Decoding one token while a probe looks.
#include "cuda/forward.h"

namespace haikuda::cuda {

// q, k and v as projected, by finish_qkv: the rotated q into the tap.
void Forward::rotate_beside(int layer) {
  const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
  float* rotated_q = tap_->rotated_q();
  CUDA_CHECK(cudaMemcpyAsync(rotated_q, scratch_.q.data(),
                             static_cast<std::size_t>(config_.q_size()) * sizeof(float),
                             cudaMemcpyDeviceToDevice, stream_));
  finish_qkv(rotated_q, cache_.k(layer), cache_.v(layer), scratch_.k.data(), scratch_.v.data(),
             position_.data(), projected_vectors_of(w), qkv_shape(1), stream_);
}

// Of the residual, by the ops of decode_steps.
void Forward::show_gate_and_up(int layer) {
  const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
  float *x = scratch_.x.data(), *h = scratch_.h.data();
  float *gate = scratch_.gate.data(), *up = scratch_.up.data();
  rms_norm(h, x, w.ffn_norm, 1, config_.n_embd, config_.rms_eps, stream_);
  show(Stage::ffn_norm, layer, h);
  gemv(gate, h, w.ffn_gate, 1, stream_);
  gemv(up, h, w.ffn_up, 1, stream_);
  show(Stage::ffn_gate, layer, gate);
  show(Stage::ffn_up, layer, up);
}

// The kernel of TokenProgram phase by phase, on the same values: looking changes no bit. It keeps
// the norms, gate and up to itself, and the rotated q: they are computed beside it.
void Forward::decode_shown_phases(bool want_logits) {
  const ModelConfig& c = config_;
  float *x = scratch_.x.data(), *h = scratch_.h.data(), *attended = scratch_.attended.data();
  const auto read = [&](float* out, TokenVector vector) { program_->read(out, vector, stream_); };

  embed(x, weights_.token_embd, tokens_.data(), position_.data(), 1, stream_);
  show_inputs();
  for (int layer = 0; layer < c.n_layers; ++layer) {
    const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    const auto run = [&](TokenPhase phase) {
      program_->run_phase(layer * kTokenPhases + phase, stream_);
    };
    rms_norm(h, x, w.attn_norm, 1, c.n_embd, c.rms_eps, stream_);
    show(Stage::attn_norm, layer, h);
    run(kPhaseQkv);
    read(scratch_.q.data(), TokenVector::q);
    read(scratch_.k.data(), TokenVector::k);
    read(scratch_.v.data(), TokenVector::v);
    rotate_beside(layer);
    run(kPhaseAttend);  // overwrites what that wrote into the cache
    tap_->show_qkv(layer, w.attn_q_norm != nullptr, tap_->rotated_q(), cache_.k(layer));
    read(attended, TokenVector::attended);
    show(Stage::attn_output, layer, attended);
    run(kPhaseOutput);
    read(h, TokenVector::attn_delta);
    show(Stage::attn_proj, layer, h);
    add(x, h, c.n_embd, stream_);
    show(Stage::attn_residual, layer, x);

    show_gate_and_up(layer);
    run(kPhaseGateUp);
    read(scratch_.gate.data(), TokenVector::act);
    show(Stage::ffn_act, layer, scratch_.gate.data());
    run(kPhaseDown);
    read(h, TokenVector::ffn_delta);
    show(Stage::ffn_down, layer, h);
    add(x, h, c.n_embd, stream_);
    show(Stage::ffn_residual, layer, x);
  }
  if (want_logits) {
    rms_norm(h, x, weights_.output_norm, 1, c.n_embd, c.rms_eps, stream_);
    show_last(Stage::output_norm, h);
    program_->run_phase(program_->head_phase(), stream_);
    show_last(Stage::logits, scratch_.logits.data());
    finish_best(program_->n_blocks());
  }
  program_->end_token(stream_);
}

// The chain of kernels, likewise: q, k, v, the keys in the cache, the output of attention, both
// residual streams and the logits are its own. What it keeps to itself is computed beside it, from
// the same inputs, by the ops of decode_steps.
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
    rotate_beside(layer);
    attend(layer);  // overwrites what that wrote into the cache
    tap_->show_qkv(layer, w.attn_q_norm != nullptr, tap_->rotated_q(), cache_.k(layer));
    show(Stage::attn_output, layer, attended);
    gemv(h, attended, w.attn_output, 1, stream_);
    show(Stage::attn_proj, layer, h);
    gemv_add(x, w.attn_output, attended, stream_);
    show(Stage::attn_residual, layer, x);

    show_gate_and_up(layer);
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
  finish_best(head());
  show_last(Stage::logits, scratch_.logits.data());
}

}  // namespace haikuda::cuda
