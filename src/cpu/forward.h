// The forward pass on the CPU: an executable specification of the models we run.
#pragma once

#include <span>
#include <vector>

#include "base/thread_pool.h"
#include "cpu/kv_cache.h"
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
  Forward(const Model& model, int n_ctx, int chunk, int n_threads);

  // Computes n <= chunk tokens at positions [position, position + n); logits of the last one when
  // wanted.
  void run(std::span<const int> tokens, int position, bool want_logits);
  std::span<const float> logits() const { return scratch_.logits; }
  int n_threads() const { return threads_.size(); }
  std::size_t bytes() const;

 private:
  void attention_block(int layer, int n, int position);
  void feed_forward_block(int layer, int n);
  void compute_angles(int n, int position);

  const Model& model_;
  const ModelConfig& config_;
  ThreadPool threads_;
  RopeFrequencies frequencies_;
  std::vector<LayerVectors> vectors_;
  std::vector<float> output_norm_;  // (n_embd)
  KvCache cache_;
  Scratch scratch_;
};

}  // namespace haikuda::cpu
