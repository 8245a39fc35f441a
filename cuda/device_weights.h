// The weights of a model on the device: matrices as cuda/layout.h says, vectors in F32.
#pragma once

#include <memory>
#include <vector>

#include "cuda/device_tensor.h"
#include "cuda/resources.h"
#include "cuda/upload.h"
#include "model/model.h"

namespace haikuda::cuda {

// As LayerWeights; a vector that is absent is null.
struct DeviceLayerWeights {
  const float* attn_norm;               // (n_embd)
  DeviceTensor attn_q, attn_k, attn_v;  // (q_size, n_embd), (kv_size, n_embd) twice
  const float *attn_q_bias, *attn_k_bias, *attn_v_bias;
  const float *attn_q_norm, *attn_k_norm;  // (head_dim)
  DeviceTensor attn_output;                // (n_embd, q_size)
  const float* ffn_norm;                   // (n_embd)
  DeviceTensor ffn_gate, ffn_up;           // (n_ff, n_embd)
  DeviceTensor ffn_down;                   // (n_embd, n_ff)
};

class DeviceWeights {
 public:
  // Begins to upload the weights of `model`, which outlives this; the timeline may be null. From
  // now on addresses hold, from wait() on what lies there.
  explicit DeviceWeights(const Model& model, Timeline* timeline = nullptr);
  void wait() { upload_->wait(); }
  // What the constructor allocates and keeps. Until wait() has returned, Upload takes its own.
  static std::size_t bytes_needed(const Weights& weights);

  DeviceTensor token_embd;   // (n_vocab, n_embd)
  const float* output_norm;  // (n_embd)
  DeviceTensor output;       // (n_vocab, n_embd); token_embd's memory when tied
  std::vector<DeviceLayerWeights> layers;
  std::size_t bytes() const { return storage_.bytes(); }

 private:
  template <class Placer>
  void place(const Weights& weights, Placer& placer);
  DeviceWeights() = default;

  DeviceBuffer<std::byte> storage_;  // all tensors, each aligned to 256 bytes
  std::unique_ptr<Upload> upload_;   // destroyed first
};

}  // namespace haikuda::cuda
