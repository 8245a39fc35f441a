// The hyper-parameters of a model, validated. Fields are named after their GGUF key where it is
// clear.
#pragma once

#include <cstdint>
#include <string>

#include "gguf/metadata.h"
#include "model/architecture.h"

namespace haikuda {

enum class RopeScaling { none, linear, yarn };

struct RopeConfig {
  RopeStyle style = RopeStyle::neox;
  int n_dims = 0;            // rope.dimension_count: leading elements of a head that rotate; even
  double freq_base = 10000;  // rope.freq_base
  RopeScaling scaling = RopeScaling::none;
  double factor = 1;       // rope.scaling.factor
  int n_ctx_original = 0;  // rope.scaling.original_context_length
  double attn_factor = 1;  // rope.scaling.attn_factor
  double beta_fast = 32;   // rope.scaling.yarn_beta_fast
  double beta_slow = 1;    // rope.scaling.yarn_beta_slow
};

struct ModelConfig {
  Architecture architecture{};
  std::string name;     // general.name, may be empty
  int n_layers = 0;     // block_count
  int n_embd = 0;       // embedding_length
  int n_ff = 0;         // feed_forward_length
  int n_heads = 0;      // attention.head_count
  int n_kv_heads = 0;   // attention.head_count_kv; divides n_heads
  int head_dim = 0;     // attention.key_length
  int n_ctx_train = 0;  // context_length
  int n_vocab = 0;      // rows of token_embd
  float rms_eps = 0;    // attention.layer_norm_rms_epsilon
  RopeConfig rope;

  int q_size() const { return n_heads * head_dim; }
  int kv_size() const { return n_kv_heads * head_dim; }
};

// n_vocab is left at 0 (the embedding's shape tells it). Throws Error naming the key.
ModelConfig read_config(const Metadata& metadata);

}  // namespace haikuda
