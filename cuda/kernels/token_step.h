// What the kernel that decodes a token walks over: the products of the model in order, and how each
// is shared out over blocks and warps. Plain structs that the host fills in (token_program.cpp).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>

#include "cuda/device/planes.h"
#include "cuda/sample_ops.h"

namespace haikuda::cuda {

// Of a block: warps that multiply and do all else, and those that copy weights for them.
constexpr int kTokenWarps = 8, kTokenThreads = kTokenWarps * 32;
constexpr int kTokenFeeders = 4;  // at most
// Warps that share a slot of weights, neighbouring units each; groups of them take slots in turn.
constexpr int kTokenSharers = 2, kTokenGroups = kTokenWarps / kTokenSharers;
// Rows of weights: two that belong together, a pair; those that a matrix unit takes together, a
// tile.
constexpr int kTokenRows = 2, kTokenTileRows = 8, kTokenTilePairs = kTokenTileRows / kTokenRows;
constexpr int kTokenUnit = 32;  // columns that a matrix unit takes at a time
// Units of a slot that one warp takes.
constexpr int kTokenLeastUnits = 8, kTokenMostUnits = 16, kTokenUnitsStep = 2;
constexpr int kTokenSlots = 24;         // of the ring, at most
constexpr int kTokenBarrierBytes = 16;  // behind each slot: that it is full, and free
constexpr int kTokenBatch = 16;         // tiles whose sums are finished together
constexpr int kTokenBatchRows = kTokenBatch * kTokenTileRows;
constexpr int kTokenSums = kTokenWarps * kTokenBatchRows;
constexpr int kTokenDim = 128;  // most elements of a head
constexpr int kTokenHeads = 4;  // query heads of a block that takes a split of the keys
constexpr int kTokenSplits = 132;
constexpr int kKeyRows = 16;  // keys, or values, that a matrix unit takes
// A block takes one query head and all its past keys up to those that the ring holds, a few more,
// and to the most.
constexpr int kTokenKeysBeyondRing = 64, kTokenKeysAlone = 448;

// How the kernel multiplies: two bytes a weight as they are, or integers (all quantized types).
enum class TokenKind { f16, bf16, integers, none };
inline TokenKind token_kind(DType dtype) {
  switch (dtype) {
    case DType::F16:
      return TokenKind::f16;
    case DType::BF16:
      return TokenKind::bf16;
    case DType::Q4_0:
    case DType::Q4_1:
    case DType::Q5_0:
    case DType::Q5_1:
    case DType::Q8_0:
    case DType::Q4_K:
    case DType::Q5_K:
    case DType::Q6_K:
      return TokenKind::integers;
    default:
      return TokenKind::none;
  }
}

// The types that a kernel multiplies: the fewer, the shorter its code, which is fetched cold.
enum class IntegerTypes { q8_0, q4_k_m, all };  // the second: of files that are called so

// Integers: units that lanes of a row take together, a step; x of a step: the high bytes, the low
// ones, and what belongs to each unit.
constexpr int kStepUnits = 8, kIntegerUnits = 16;  // the latter of a warp, at a time
constexpr int kStepPlane = kStepUnits * kTokenUnit, kStepFacts = 2 * kStepPlane,
              kStepXBytes = kStepFacts + 16 * kStepUnits;
__host__ __device__ constexpr int steps_of_units(int n_units) {
  return (n_units + kStepUnits - 1) / kStepUnits;
}

// Where a pair of a vector lies in the order of matrix units (kernels/token_x.cuh).
__host__ __device__ constexpr int place_in_units(int pair) {
  const int chunk = pair % 16 / 4, lane = pair % 4;
  return pair / 16 * 16 + lane * 4 + chunk % 2 * 2 + chunk / 2;
}

enum class TokenOutput {
  vector,   // y + bias
  gate_up,  // pairs of a gate and its up: silu(gate) · up
  logits,
};

// Which gate and up, of 32 in a unit, are the k-th pair of rows: those four that go on together
// follow each other, and the words are in the order in which x lies.
struct TokenActOrder {
  int chunk, lane, far;

  __host__ __device__ int column(int k) const {
    return k / 32 * 32 + k % 32 / 16 * chunk + k % 16 / 4 * lane + k % 4 / 2 * far + k % 2;
  }
};
constexpr TokenActOrder kActOfF16{8, 2, 16}, kActInOrder{16, 4, 2};

// Of a layer; the head is the first step of one more. That of v alone is there when its type is
// another one than that of q and k: some blocks take it while the others take those.
enum TokenStepOfLayer { kTokenQkv, kTokenV, kTokenOutput, kTokenGateUp, kTokenDown, kTokenSteps };

// What is copied of each row of a tile: of one of its planes (cuda/layout.h) the bytes of a span,
// which begin at any multiple of a unit's, from the multiple of 16 before; or the whole row, or a
// half of it.
struct TokenCopy {
  int start, row_bytes;        // in the row: from there, so many in all
  int span_bytes, copy_bytes;  // from span to span; of one
  int to, stride;              // in the slot: of the first row, from row to row
};
// Where in a slot a plane of the first row is, and how far it is to the next row's.
struct TokenPlane {
  int start, stride;
};

// Integers: how the two warps that share a slot share out its steps. Whole rows, of types with a
// scale a unit: a half each, kIntegerUnits at most, with x in registers. Whole steps: half of them
// each, the first warp one more. Any: a half each, with an eye on where rows end.
enum class TokenCut { whole_rows, whole_steps, any };

// What a step reads and writes. Vectors of a layer have its tag; the first steps of a layer read
// what the one before has left.
struct TokenFlow {
  const TaggedPair* in;
  TaggedPair* out;
  int in_layers_before;
  bool out_in_units;  // or in order
};

// Up to three matrices with the same x, but for what depends on the layer.
struct alignas(16) TokenShape {
  TokenFlow flow;
  TokenStepOfLayer step;
  TokenOutput output;
  DType dtype;
  int cols;
  float inverse_cols;
  int row_stride;  // of matrices
  int n_copies;
  TokenCopy copies[kMaxPlanes];
  TokenPlane planes[kMaxPlanes];
  // Units of a slot, but for the last of the n_spans slots of a tile.
  int span_units, last_units, n_spans;
  int span_steps, last_steps;  // the same, where weights are integers
  // From a slot to the next of the same group: so many tiles and spans.
  int turn_tiles, turn_spans;
  TokenCut cut;
  bool wants_sums;                     // of x
  TokenActOrder act_order;             // of gates and ups
  int window;                          // slots on their way together, a multiple of n_feeders
  int n_rows;                          // of all matrices
  int first_row[3], first_out[3];      // of each, among all rows and in the output; INT_MAX: none
  int first_block;                     // of those that take them, all following ones if not v's
  int pairs_of_block, n_longer, unit;  // the first n_longer blocks take `unit` pairs more
};
constexpr int kTokenMostShapes = 16;
__host__ __device__ constexpr int token_steps_of(int n_layers) {
  return n_layers * kTokenSteps + kTokenV + 1;  // the head's v has no data
}

// A step of a layer, or the head: where matrices and vectors of its shape lie. Without data: none.
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

// A token that the kernel embeds itself, so that nothing lies between two launches: number n_ahead
// behind that at *position. The first is in sample.tokens; the others are what the launch before
// found likeliest, and are handed to the host by this one.
struct TokenOrigin {
  bool embeds;  // or TokenParams::x is the embedding
  int n_ahead;
  DType dtype;  // of the table (n_vocab, n_embd)
  MatrixPlanes table;
  SampleBuffers sample;
};

struct TokenParams {
  TokenOrigin origin;
  const TokenShape* shapes;  // (n_shapes)
  const TokenStep* steps;    // (token_steps_of(n_layers))
  const TokenNorms* norms;   // (n_layers)
  int n_shapes, n_layers, n_embd;
  int n_blocks_of_v;  // which take v alone where it has a step: the first ones
  float eps;
  const float* x;  // (n_embd): the embedding, or the residual before first_phase
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
  int key_tiles, slots_of_key_tile;  // tiles of keys in a slot, and ceil(2^16 / that)
  int first_phase, end_phase;  // of n_layers · kTokenPhases + 1: all, or a few to be looked at
  unsigned long long* times;   // null, or (gridDim.x, phases, kTokenMarks) clocks, for a bench
  // Shared memory, in bytes: a ring of slots, then these.
  int n_feeders, n_slots;  // the latter a multiple of the former
  int slot_bytes, x_start, residual_start, sums_start, cos_sin_start, shapes_start, steps_start;

  __host__ __device__ int slot_stride() const { return slot_bytes + kTokenBarrierBytes; }
};

// Bytes of so many units of x, staged, where it is handed on as halves or not; and what attention
// needs in its place.
std::size_t token_x_bytes(TokenKind kind, bool is_halves, int n_units);
// Whether gates and ups are handed on as halves.
inline bool hands_on_halves(TokenKind kind) {
  return kind == TokenKind::f16;
}
std::size_t token_attention_bytes(int head_dim);
// Bytes of a tile of keys and that of their values: what attention needs of a slot at least.
std::size_t token_key_tile_bytes(int head_dim);
// Tagged values that a block hands on of its split of the keys.
int token_partial_size(int tile_heads, int head_dim);

// Dynamic shared memory that a block can have.
std::size_t most_token_bytes(TokenKind kind, int head_dim);
// All blocks are resident at once, or the launch fails. `warp_units`: what a warp takes of a slot
// at a time.
void launch_token(const TokenParams& params,
                  TokenKind kind,
                  IntegerTypes types,
                  int warp_units,
                  int n_blocks,
                  std::size_t shared_bytes,
                  cudaStream_t stream);
// A token whose phases were launched one by one is done.
void count_token(unsigned* n_done, cudaStream_t stream);
// out (n) = the values without their tags, in order; n is a multiple of kTokenUnit where they lie
// in the order of matrix units, and even otherwise.
void untag(float* out, const TaggedPair* values, int n, bool in_units, cudaStream_t stream);
// The same of gates and ups, handed on as halves.
void untag_halves(
    float* out, const TaggedPair* values, int n, TokenActOrder order, cudaStream_t stream);

}  // namespace haikuda::cuda
