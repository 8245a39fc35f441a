// The tensors of a model bound to their roles by name and shape; views into the file, nothing is
// copied.
#pragma once

#include <vector>

#include "base/tensor_view.h"
#include "gguf/model_files.h"
#include "model/config.h"

namespace haikuda {

// Named as in GGUF ("blk.N." in front). A view that is absent converts to false.
struct LayerWeights {
  TensorView attn_norm;                 // (n_embd)
  TensorView attn_q;                    // (q_size, n_embd)
  TensorView attn_k, attn_v;            // (kv_size, n_embd)
  TensorView attn_q_bias;               // (q_size), with the architecture's qkv_bias
  TensorView attn_k_bias, attn_v_bias;  // (kv_size)
  TensorView attn_q_norm, attn_k_norm;  // (head_dim), with qk_norm
  TensorView attn_output;               // (n_embd, q_size)
  TensorView ffn_norm;                  // (n_embd)
  TensorView ffn_gate, ffn_up;          // (n_ff, n_embd)
  TensorView ffn_down;                  // (n_embd, n_ff)
};

struct Weights {
  TensorView token_embd;   // (n_vocab, n_embd)
  TensorView output_norm;  // (n_embd)
  TensorView output;       // (n_vocab, n_embd); the same view as token_embd when tied
  TensorView
      rope_freqs;  // (rope.n_dims / 2), optional: divides each frequency (Llama 3.1 and later)
  std::vector<LayerWeights> layers;
  int n_tensors = 0;  // of the file, each bound exactly once
  bool tied = false;  // the file has no output.weight

  std::size_t total_bytes() const;  // of all tensors
};

// Sets config.n_vocab from token_embd. Throws Error(model_file) naming a tensor that is missing, of
// another shape, or one of the file that has no role here; Error(unsupported) for a vector of a
// quantized type.
Weights bind_weights(const ModelFiles& files, ModelConfig& config);

// A vector (norm, bias, rope_freqs) as F32.
std::vector<float> to_float(const TensorView& vector);

}  // namespace haikuda
