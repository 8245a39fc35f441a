// The forward pass on the GPU: lists of named ops, which only enqueue work. As cpu/forward.h, the
// specification.
#pragma once

#include <memory>
#include <span>

#include "cuda/device_weights.h"
#include "cuda/gemm.h"
#include "cuda/half_scales.h"
#include "cuda/kv_cache.h"
#include "cuda/ops.h"
#include "cuda/probe_tap.h"
#include "cuda/resources.h"
#include "cuda/sample_ops.h"
#include "cuda/token_program.h"
#include "infer/backend.h"
#include "model/model.h"

namespace haikuda::cuda {

// What Forward is built for.
struct ForwardSizes {
  int n_ctx;
  int chunk;          // tokens at once
  bool has_bfloat16;  // the GPU multiplies bfloat16
};

// Tokens that activations have room for: in F32 for the ops that compute one after the other, and
// in half for those of long prompts.
struct ScratchTokens {
  int all, exact, half;
};

// Activations, n in front of every shape.
struct Scratch {
  Scratch(const ModelConfig& config, const ScratchTokens& tokens);
  static std::size_t bytes_needed(const ModelConfig& config, const ScratchTokens& tokens);
  DeviceBuffer<float> x;            // (n_embd) residual stream
  DeviceBuffer<float> h;            // (n_embd) normalized input of a block, then its output
  DeviceBuffer<float> q, k, v;      // (q_size), (kv_size) twice
  DeviceBuffer<float> attended;     // (q_size)
  DeviceBuffer<float> splits;       // partial results of attention
  DeviceBuffer<unsigned> arrivals;  // of attend_token's blocks
  DeviceBuffer<float> gate, up;     // (n_ff)
  DeviceBuffer<float> logits;       // (n_vocab), of the last token only

  // Of prefill_half, each half times a power of two (half_scales.h).
  DeviceBuffer<__half> norm_half;  // (n_embd)
  DeviceBuffer<float> qkv;         // (q_size + 2 kv_size), or the output of a block (n_embd)
  DeviceBuffer<__half> q_half;     // (q_size) queries, then what attention makes of them
  DeviceBuffer<float> q_scale;     // (n_heads)
  DeviceBuffer<__half> gate_up;    // (2, n_ff); act takes the place of gate
  DeviceBuffer<float> act_scale;   // ()

  // Of one token.
  DeviceBuffer<std::int8_t> act_quants;      // (kActivationPlanes, n_ff)
  DeviceBuffer<ActivationBlock> act_blocks;  // (n_ff / 32)
  DeviceBuffer<ArgmaxResult> best, best_partial;
};

// How a token is decoded: by the fused products, or by one op after the other, each intermediate in
// memory and all products in F32, as the second opinion.
enum class DecodePath { fused, steps };

class Forward {
 public:
  // `weights` outlives this. Enqueues the computation of the rope table.
  Forward(const Model& model,
          const DeviceWeights& weights,
          const ForwardSizes& sizes,
          const Stream& stream);
  // Tokens at once that suit the model's types and the GPU.
  static int best_chunk(const Model& model, bool has_bfloat16);
  // Device memory that the constructor takes.
  static std::size_t bytes_needed(const Model& model, const ForwardSizes& sizes);

  // The ids of the sequence, (n_ctx): whoever calls run() has put those of its tokens there.
  const DeviceBuffer<int>& tokens() const { return tokens_; }
  // Computes n <= chunk tokens at positions [position, position + n); logits of the last one when
  // wanted, and the greatest of them.
  void run(int position, int n, bool want_logits, DecodePath path = DecodePath::fused);
  // Loads what run() needs for a prompt of n <= chunk tokens, so that the first one does not wait
  // for it. Neither reads the weights nor changes anything.
  void prepare(int n);
  // Whom run() shows its stages, waiting for each; nullptr: nobody, and run() only enqueues.
  void set_probe(Probe* probe);
  // K and V of the positions before n_positions; waits for the stream.
  CachedKv cached_kv(int layer, int n_positions) const;
  // Only enqueues: the token whose position device memory holds, its logits, and the greatest of
  // them in so many parts as it returns. Later calls put the same launches on the stream, so that a
  // graph of them can be replayed.
  int step();
  // Whether several of these in a row, n_ahead = 0, 1, …, evaluate as many tokens, choosing the
  // likeliest in between and handing it to the host, without other launches; sample_greedy()
  // chooses behind the last.
  bool can_step_greedily() const { return program_ != nullptr && program_->can_embed(); }
  int step_greedily(int n_ahead, const SampleBuffers& sample);
  const DeviceBuffer<ArgmaxResult>& best_partial() const { return scratch_.best_partial; }
  const DeviceBuffer<int>& position() const { return position_; }
  const DeviceBuffer<float>& logits() const { return scratch_.logits; }
  const DeviceBuffer<ArgmaxResult>& best() const { return scratch_.best; }
  bool found_cublas() const { return gemm_.found_cublas(); }

 private:
  int most_tokens();
  void pass(int position, int n, bool want_logits, DecodePath path);
  void prefill_exact(int n, bool want_logits);
  void prefill_half(int n, bool want_logits);
  void attend_half(int layer, int n);
  void feed_forward_half(int layer, int n);
  void head_half(const float* x);
  void show_output(Stage stage, int layer, HalfProduct product);
  void decode_fused(bool want_logits);
  void decode_layers();
  void project(const DeviceLayerWeights& w);
  void attend(int layer);
  void decode_shown(bool want_logits);
  void decode_shown_phases(bool want_logits);
  void rotate_beside(int layer);
  void show_gate_and_up(int layer);
  int enqueue_token(bool want_logits);
  void finish_best(int n_partial);
  int head();
  void decode_steps(bool want_logits);
  void gate_up_down(const DeviceLayerWeights& w);
  void head_steps(const float* x);
  // Null when nobody looks.
  const ProbeTap* tap() const { return kHasProbe ? tap_.get() : nullptr; }
  // After the op that made it; return at once when there is no probe.
  void show(Stage stage, int layer, const float* rows) const {
    if (tap()) tap()->show(stage, layer, rows);
  }
  void show_last(Stage stage, const float* row) const {
    if (tap()) tap()->show_last(stage, row);
  }
  void show_inputs() const;
  void show_qkv(int layer) const;
  void show_half(Stage stage, int layer, const __half* rows, const HalfRows& how) const {
    if (tap()) tap()->show_half(stage, layer, rows, how);
  }
  QkvVectors vectors_of(const DeviceLayerWeights& w) const;
  QkvVectors projected_vectors_of(const DeviceLayerWeights& w) const;
  QkvShape qkv_shape(int n) const;
  AttentionShape attention_shape(int n) const;

  const Model& model_;
  const ModelConfig& config_;
  const DeviceWeights& weights_;
  cudaStream_t stream_;
  int chunk_;
  bool takes_half_;                           // long prompts go through prefill_half
  std::vector<LayerHalfScales> half_scales_;  // once one did
  KvCache cache_;
  Gemm gemm_;
  Scratch scratch_;
  DeviceBuffer<double> radians_;           // (rope.n_dims / 2)
  DeviceBuffer<float> cos_sin_;            // (n_ctx, rope.n_dims / 2, 2)
  DeviceBuffer<int> tokens_;               // (n_ctx)
  DeviceBuffer<int> position_;             // of the first token of the running pass
  std::unique_ptr<TokenProgram> program_;  // null: the chain decodes
  std::unique_ptr<ProbeTap> tap_;
};

}  // namespace haikuda::cuda
