// What the kernel that decodes a token walks over: the products of the model in order, and how each
// is shared out over blocks and warps. Plain structs that the host fills in (token_program.cpp).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "cuda/device/planes.h"
#include "cuda/ops.h"

namespace haikuda::cuda {

// Of a block: warps that multiply and do all else, and those that copy weights for them.
constexpr int kTokenWarps = 8, kTokenThreads = kTokenWarps * 32;
constexpr int kTokenFeeders = 4;
// Rows of weights: two that belong together, a pair; those that a matrix unit takes together, a
// tile.
constexpr int kTokenRows = 2, kTokenTileRows = 8, kTokenTilePairs = kTokenTileRows / kTokenRows;
constexpr int kTokenUnit = 32;   // columns that a matrix unit takes at a time
constexpr int kTokenSpan = 32;   // units of a slot, at most
constexpr int kTokenSlots = 16;  // of the ring, at most; a multiple of kTokenFeeders
constexpr int kTokenBatch = 16;  // tiles whose sums are finished together
constexpr int kTokenBatchRows = kTokenBatch * kTokenTileRows;
constexpr int kTokenSums = kTokenWarps * kTokenBatchRows;
constexpr int kTokenDim = 128;  // most elements of a head
constexpr int kTokenHeads = 4;  // query heads of a block that takes a split of the keys
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
  int span_units, n_spans;         // of a slot, and slots of a tile; the last span may be shorter
  int n_rows;                      // of all matrices
  int first_row[3], first_out[3];  // of each, among all rows and in the output; INT_MAX: none
  int pairs_of_block, n_longer, unit;  // the first n_longer blocks take `unit` pairs more
  // Warps that share a slot: 8, or 4 where a tile is one slot. Units of a slot that each takes, the
  // last maybe fewer, and of a row's last slot.
  int warps_of_slot_log2, warp_units, last_units;
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
  // Shared memory, in bytes: a ring of slots with kTokenTileRows rows each, then these.
  int n_slots, slot_row_bytes, x_start, residual_start, sums_start, cos_sin_start, barriers_start,
      shapes_start, steps_start;

  __host__ __device__ int slot_bytes() const { return kTokenTileRows * slot_row_bytes; }
};

// Bytes of x, staged; and what attention needs in its place.
std::size_t token_x_bytes(int cols);
std::size_t token_attention_bytes(int head_dim);
// Bytes of a slot of the ring that attention needs at least.
std::size_t token_key_slot_bytes(int head_dim);
// Tagged values that a block hands on of its split of the keys.
int token_partial_size(int tile_heads, int head_dim);

// Dynamic shared memory that a block can have; 0 when the weights are neither F16 nor BF16.
std::size_t most_token_bytes(DType dtype, int head_dim);
// All blocks are resident at once, or the launch fails.
void launch_token(const TokenParams& params,
                  DType dtype,
                  int n_blocks,
                  std::size_t shared_bytes,
                  cudaStream_t stream);
// A token whose phases were launched one by one is done.
void count_token(unsigned* n_done, cudaStream_t stream);
// out (n) = the values without their tags, in order; n is a multiple of kTokenUnit where they lie
// in the order of matrix units (kernels/token_x.cuh), and even otherwise.
void untag(float* out, const TaggedPair* values, int n, bool in_units, cudaStream_t stream);

}  // namespace haikuda::cuda
