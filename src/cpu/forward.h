// The forward pass on the CPU: an executable specification of the models we run.
#pragma once

#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "cpu/kv_cache.h"
#include "cpu/ops.h"
#include "infer/backend.h"
#include "infer/probe.h"
#include "model/model.h"
#include "model/rope_frequencies.h"

namespace haikuda::cpu {

// Norms and biases of a layer in F32; empty where the architecture has none.
struct LayerVectors {
  std::vector<float> attn_norm, ffn_norm;     // (n_embd)
  std::vector<float> q_bias, k_bias, v_bias;  // (q_size), (kv_size), (kv_size)
  std::vector<float> q_norm, k_norm;          // (head_dim)
};

// Activations of up to `chunk` tokens, n in front of every shape.
struct Scratch {
  Scratch(const ModelConfig& config, int chunk);
  std::vector<float> x;         // (n_embd) residual stream
  std::vector<float> h;         // (n_embd) normalized input of a block, then its output
  std::vector<float> q;         // (q_size)
  std::vector<float> attended;  // (q_size)
  std::vector<float> gate, up;  // (n_ff)
  std::vector<float> cos_sin;   // (rope.n_dims)
  std::vector<float> logits;    // (n_vocab), of the last token only
};

class Forward {
 public:
  // half_cache: see BackendOptions.
  Forward(const Model& model, int n_ctx, int chunk, int n_threads, bool half_cache);

  // Computes n <= chunk tokens at positions [position, position + n); logits of the last one when
  // wanted.
  void run(std::span<const int> tokens, int position, bool want_logits);
  // Whom run() shows its stages; nullptr: nobody.
  void set_probe(Probe* probe) { probe_ = probe; }
  // K and V of the positions before n_positions.
  CachedKv cached_kv(int layer, int n_positions);
  std::span<const float> logits() const { return scratch_.logits; }
  int n_threads() const { return threads_.size(); }
  std::size_t bytes() const;

 private:
  void attention_block(int layer, int n, int position);
  void feed_forward_block(int layer, int n);
  void compute_angles(int n, int position);
  void attend(int layer, int n, int position);

  Probe* probe() const { return kHasProbe ? probe_ : nullptr; }
  // `rows` of all tokens of the pass, or `row` of its last.
  void show(Stage stage, int layer, const float* rows) const {
    if (probe() != nullptr) show_rows(stage, layer, rows, first_, n_);
  }
  void show_last(Stage stage, const float* row) const {
    if (probe() != nullptr) show_rows(stage, -1, row, first_ + n_ - 1, 1);
  }
  void show_rows(Stage stage, int layer, const float* rows, int position, int n) const;
  void show_tokens(std::span<const int> tokens) const;
  void show_angles() const;
  bool wants_inside_attention(int layer) const;
  void show_inside_attention(int layer, std::span<const AttentionInside> inside) const;

  const Model& model_;
  const ModelConfig& config_;
  ThreadPool threads_;
  RopeFrequencies frequencies_;
  std::vector<LayerVectors> vectors_;
  std::vector<float> output_norm_;  // (n_embd)
  KvCache cache_;
  bool half_cache_;
  Scratch scratch_;
  Probe* probe_ = nullptr;
  int first_ = 0, n_ = 0;  // positions of the pass that runs
};

}  // namespace haikuda::cpu
