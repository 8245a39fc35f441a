// Shows a probe what the ops of a pass leave in device memory: waits for an op and copies its
// output to the host, so that a pass with a tap is slow and is never captured into a graph.
//
// All are the kernels' own values (finish_qkv writes q … k_norm on the side for it), except what no
// kernel leaves anywhere: attn_scores, attn_max, attn_sum and attn_weights are recomputed on the
// host from the rotated q and the K of the cache; rope_theta is position · frequency in double.
#pragma once

#include <cuda_fp16.h>

#include "cuda/ops.h"
#include "cuda/resources.h"
#include "infer/probe.h"

namespace haikuda::cuda {

class ProbeTap {
 public:
  // Allocates room for finish_qkv's steps and for one stage of up to `chunk` tokens.
  ProbeTap(Probe& probe, const ModelConfig& config, int chunk, cudaStream_t stream);

  // The pass that begins has positions [first, first + n).
  void begin(int first, int n);
  // All pointers are device memory. tokens (n_ctx), x (n, n_embd), radians (n_pairs) and cos_sin
  // (n_ctx, n_pairs, 2) as in forward.h.
  void show_inputs(const int* tokens,
                   const float* x,
                   const double* radians,
                   const float* cos_sin) const;
  // Rows of all tokens of the pass.
  void show(Stage stage, int layer, const float* rows) const;
  // The same of halves that are scaled, shown as what they stand for.
  void show_half(Stage stage, int layer, const __half* rows, const HalfRows& how) const;
  // (n · per_token, size) of halves in F32, until the next call.
  const float* widened(const __half* rows, int per_token, int size, const HalfRows& how) const;
  // The row of its last token.
  void show_last(Stage stage, const float* row) const;
  // Whether any row of the pass is wanted.
  bool wants(Stage stage, int layer) const { return probe_.wants(stage, layer, first_, n_); }
  // For finish_qkv.
  QkvSteps qkv_steps() const;
  // Room for the rotated q of one token, where the pass rotates it elsewhere.
  float* rotated_q() const { return rotated_q_.data(); }
  // After finish_qkv, `has_head_norm` as it had: its steps, the rotated q (n, n_heads, head_dim)
  // and K, and what attention makes of them.
  void show_qkv(int layer, bool has_head_norm, const float* q, const __half* k_cache) const;

 private:
  std::size_t size_of(Stage stage, int n_rows) const;
  void show_rows(Stage stage, int layer, int position, int n_rows, const float* rows) const;
  void show_values(Stage stage,
                   int layer,
                   std::span<const float> values,
                   DType dtype = DType::F32) const;
  void show_keys(int layer, const __half* k_cache) const;
  void show_attention(int layer, const float* q, const __half* k_cache) const;

  Probe& probe_;
  const ModelConfig& config_;
  cudaStream_t stream_;
  DeviceBuffer<float> q_, k_, v_, q_norm_, k_norm_;  // (chunk, their rows)
  DeviceBuffer<float> rotated_q_;                    // (q_size)
  DeviceBuffer<float> wide_;                         // (chunk, longest row)
  int first_ = 0, n_ = 0;
};

}  // namespace haikuda::cuda
