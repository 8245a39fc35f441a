// The model as the one kernel that decodes a token sees it (kernels/token.cu): which products
// follow each other, and how their rows are shared out over blocks and warps.
#pragma once

#include <memory>
#include <string>

#include "cuda/device_weights.h"
#include "cuda/kernels/token_step.h"
#include "cuda/kv_cache.h"
#include "cuda/resources.h"
#include "cuda/sample_ops.h"

namespace haikuda::cuda {

// What a token's kernel reads and writes beside weights and cache.
struct TokenBuffers {
  float* x;              // (n_embd): the embedding of the token
  float* logits;         // (n_vocab)
  ArgmaxResult* best;    // (kMaxGemvBlocks)
  const int* position;   // of the token
  const float* cos_sin;  // rope_table's
};

// What blocks hand to each other.
enum class TokenVector { q, k, v, attended, attn_delta, act, ffn_delta };
constexpr int kTokenVectors = 7;

class TokenProgram {
 public:
  // Null where there is none, and the chain of fused_gemv decodes: a GPU before sm_90; weights that
  // are not all F16, all BF16 or all of types that token_kind() calls integers; sizes that do not
  // suit the kernel. Enqueues what the program needs in device memory; all arguments outlive it.
  static std::unique_ptr<TokenProgram> make(const Model& model,
                                            const DeviceWeights& weights,
                                            const KvCache& cache,
                                            const TokenBuffers& buffers,
                                            const Stream& stream);
  // Device memory of a program for this model, whether or not there is one.
  static std::size_t bytes_needed(const ModelConfig& config);

  // Enqueues a token: buffers.logits and best, where wanted.
  void run(bool want_logits, cudaStream_t stream) const;
  // Whether run_greedy() can do the same from the token itself, without an embedding in buffers.x:
  // the table has a type that the kernel knows. n_ahead launches go before, since the token at
  // *position, in sample.tokens; from the second on the token is what the launch before found
  // likeliest, and goes to the host.
  bool can_embed() const { return can_embed_; }
  void run_greedy(int n_ahead, const SampleBuffers& sample, cudaStream_t stream) const;
  // The same phase by phase, by the same kernel with the same bits, for whoever looks: layer l's
  // begin with l · kTokenPhases. buffers.x is the residual, to which the caller adds the deltas;
  // end_token() follows the last.
  void run_phase(int phase, cudaStream_t stream) const;
  int head_phase() const { return params_.n_layers * kTokenPhases; }
  void end_token(cudaStream_t stream) const;
  // out = what the last phase that wrote it left there, without its tags.
  void read(float* out, TokenVector vector, cudaStream_t stream) const;
  // How many blocks leave the greatest of their logits in buffers.best.
  int n_blocks() const { return n_blocks_; }

  // For a bench: run(true) with marks of every block and phase, (n_blocks, head_phase() + 1,
  // kTokenMarks); up to so many past keys a block takes one query head and all its keys; and what a
  // block's shared memory holds.
  void run_timed(unsigned long long* times, cudaStream_t stream) const;
  void set_keys_alone(int n) { params_.keys_alone = n; }
  std::string description() const;

 private:
  struct Places;
  struct Vector {
    TaggedPair* data;
    int size;
  };
  TokenProgram(const Model& model,
               const DeviceWeights& weights,
               const KvCache& cache,
               const TokenBuffers& buffers,
               int n_blocks,
               const Stream& stream);
  void launch(TokenParams params, int first_phase, int end_phase, cudaStream_t stream) const;

  int n_blocks_;
  TokenKind kind_;
  IntegerTypes types_ = IntegerTypes::all;
  DeviceBuffer<std::byte> storage_;  // steps, layers, and what is handed on
  TokenParams params_{};
  Vector vectors_[kTokenVectors] = {};
  bool can_embed_ = false;
  int warp_units_ = 0;            // of a slot, at a time
  std::size_t shared_bytes_ = 0;  // 0: it does not fit
};

}  // namespace haikuda::cuda
