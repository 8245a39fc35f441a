// How the products of the kernel that decodes a token are shared out: rows over blocks, and each
// row over slots of a ring in shared memory.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cuda/device_weights.h"
#include "cuda/kernels/token_step.h"

namespace haikuda::cuda {

constexpr std::size_t aligned(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}
constexpr int ceil_of(int a, int b) {
  return (a + b - 1) / b;
}
constexpr int pairs_of(int rows) {
  return ceil_of(rows, kTokenRows);
}

// The products of a layer by TokenStepOfLayer, then the head. Shapes: rows and bytes, not yet
// slots.
struct TokenSteps {
  std::vector<TokenShape> shapes;
  std::vector<TokenStep> steps;
  bool has_v_step;
};
TokenSteps token_steps(const DeviceWeights& weights, int n_blocks);
// That of all matrices together; none: the kernel does not take them.
TokenKind kind_of(const DeviceWeights& weights);

// Whether a kernel of this kind, for these types, has this one.
bool has_type(TokenKind kind, IntegerTypes types, DType dtype);
// The fewest that have those of the shapes.
IntegerTypes integer_types(std::span<const TokenShape> shapes);

// A block's ring; no slots: there is no room.
struct TokenRingSize {
  int n_slots, slot_bytes;
  int warp_units;  // that a warp takes of a slot at a time

  int slot_stride() const { return slot_bytes + kTokenBarrierBytes; }
  std::size_t bytes() const {
    return aligned(static_cast<std::size_t>(n_slots * slot_stride()), 128);
  }
};
constexpr int n_feeders_of(TokenKind kind) {
  // Rows of scales are as many copies again, and half as many bytes.
  return kind == TokenKind::integers ? 4 : 2;
}
// Cuts the rows of each shape into slots of a ring in `bytes` of shared memory, and says how many
// slots are on their way together. A slot has room for least_slot_bytes.
TokenRingSize cut_into_slots(std::span<TokenShape> shapes,
                             TokenKind kind,
                             std::size_t bytes,
                             std::size_t least_slot_bytes,
                             int n_blocks);

}  // namespace haikuda::cuda
