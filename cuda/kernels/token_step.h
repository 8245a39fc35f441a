// What the kernel that decodes a token walks over: the products of the model in order, and how each
// is shared out over blocks and warps. Plain structs that the host fills in (token_program.cpp).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "cuda/device/planes.h"
#include "cuda/ops.h"

namespace haikuda::cuda {

// Of a block: warps that multiply and do all else, and warps that copy weights for two of them
// each.
constexpr int kTokenWarps = 8, kTokenThreads = kTokenWarps * 32;
constexpr int kTokenFeeders = 4, kTokenWarpsOfFeeder = kTokenWarps / kTokenFeeders;
constexpr int kTokenRows = 2;     // of weights that a warp multiplies together: a pair
constexpr int kTokenChunk = 512;  // bytes of a row that a warp multiplies at a time
constexpr int kTokenSlots = 8;    // spans of a warp on their way, at most
constexpr int kTokenBarriers = 2 * kTokenSlots;
constexpr int kMostTokenSpan = 4;  // chunks of a span
constexpr int kTokenDim = 128;     // most elements of a head
constexpr int kTokenHeads = 4;     // query heads of a block that takes a split of the keys
constexpr int kTokenSplits = 132;
// Up to so many past keys a block takes one query head and all its keys.
constexpr int kTokenKeysAlone = 768;

enum class TokenOutput {
  vector,   // y + bias
  gate_up,  // pairs of a gate and its up: silu(gate) · up
  logits,
};

// In front of the steps of a layer; the head follows the last.
enum TokenStepOfLayer { kTokenQkv, kTokenOutput, kTokenGateUp, kTokenDown, kTokenSteps };

// Up to three matrices with the same x, but for what depends on the layer.
struct alignas(16) TokenShape {
  TokenOutput output;
  int cols, row_bytes;
  int span, n_spans;  // chunks that are copied and multiplied at a time; how often in a row
  int n_rows;         // of all matrices
  int first_row[3], first_out[3];  // of each, among all rows and in the output; INT_MAX: none
  int warps_per_row_log2;
  int pairs_of_block, n_longer, unit;  // the first n_longer blocks take `unit` pairs more

  __host__ __device__ int slot_bytes() const { return kTokenRows * kTokenChunk * span; }
};
constexpr int kTokenShapes = kTokenSteps + 1;

// A step of a layer, or the head: where matrices and vectors of its shape lie.
struct alignas(16) TokenStep {
  const std::uint8_t* data[3];
  const float* bias[3];  // of each matrix, or null
  const float* gamma;    // (cols): x is the residual, normed; or null: a vector
  int shape;
};
struct TokenNorms {
  const float *q, *k;  // (head_dim) of a layer, or null
};

// What a launch computes, in order.
enum TokenPhase { kPhaseQkv, kPhaseAttend, kPhaseOutput, kPhaseGateUp, kPhaseDown, kTokenPhases };
// Of a phase: its begin, x there, rows multiplied, its end.
constexpr int kTokenMarks = 4;

struct TokenParams {
  const TokenShape* shapes;  // (kTokenShapes)
  const TokenStep* steps;    // (n_layers · kTokenSteps + 1)
  const TokenNorms* norms;   // (n_layers)
  int n_layers, n_embd;
  float eps;
  float* x;  // (n_embd): in, the embedding, or the residual before first_phase
  // Handed from block to block:
  TaggedPair *qkv, *attended, *attn_delta, *act, *ffn_delta;
  Tagged* partial;
  float* logits;       // (n_vocab)
  ArgmaxResult* best;  // (gridDim.x): the greatest logits
  unsigned* n_done;    // tokens
  const int* position;
  const float* cos_sin;
  __half *k_cache, *v_cache;  // of layer 0
  std::int64_t layer_stride;  // elements from one layer's to the next
  QkvShape shape;
  int n_tiles, tile_heads, n_splits, keys_alone;
  int first_phase, end_phase;  // of n_layers · kTokenPhases + 1: all, or a few to be looked at
  unsigned long long* times;   // null, or (gridDim.x, phases, kTokenMarks) clocks, for a bench
  // Shared memory, in bytes: a ring of weights a warp, then these.
  int ring_bytes, x_start, residual_start, sums_start, barriers_start, ends_start, shapes_start,
      steps_start;
};

// Bytes of x, staged; and what attention needs in its place.
std::size_t token_x_bytes(int cols);
std::size_t token_attention_bytes(int head_dim);
// Tagged values that a block hands on of its split of the keys.
int token_partial_size(int tile_heads, int head_dim);

// Dynamic shared memory that a block can have; 0 when the weights are neither F16 nor BF16.
std::size_t most_token_bytes(DType dtype);
// All blocks are resident at once, or the launch fails.
void launch_token(const TokenParams& params,
                  DType dtype,
                  int n_blocks,
                  std::size_t shared_bytes,
                  cudaStream_t stream);
// A token whose phases were launched one by one is done.
void count_token(unsigned* n_done, cudaStream_t stream);
// out (n, even) = the values without their tags.
void untag(float* out, const TaggedPair* values, int n, cudaStream_t stream);

}  // namespace haikuda::cuda
