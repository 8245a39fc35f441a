// How the products of the kernel that decodes a token are shared out: rows over blocks, and each
// row over slots of a ring in shared memory.
#pragma once

#include <array>
#include <cstddef>
#include <span>

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

// The products of a layer by TokenStepOfLayer, then the head: rows and bytes, not yet slots.
std::array<TokenShape, kTokenShapes> token_shapes(const DeviceWeights& weights, int n_blocks);

// A block's ring; no slots: there is no room.
struct TokenRingSize {
  int n_slots, span_units, row_bytes, side_start;  // of a slot's rows

  int slot_bytes() const { return kTokenTileRows * row_bytes; }
  int slot_stride() const { return slot_bytes() + kTokenBarrierBytes; }
  std::size_t bytes() const {
    return aligned(static_cast<std::size_t>(n_slots * slot_stride()), 128);
  }
};
// In `bytes`, for weights of one type: slots that hold a row of the residual's n_units, or an even
// part of it or less, so that the ring is as large as there is room for. Rows of a slot lie so that
// lanes that read them together meet different banks: an odd number of 16 bytes apart where they
// read 16 each, of 32 where they read 8.
TokenRingSize token_ring(std::size_t bytes,
                         int n_units,
                         TokenUnitBytes unit,
                         std::size_t least_slot_bytes);

// How each shape's rows are cut into slots of that ring, and how many slots are on their way
// together. False where the chain of fused_gemv is faster: scales are small copies, which large
// layers wait for.
bool cut_into_slots(std::span<TokenShape> shapes,
                    const TokenRingSize& ring,
                    TokenUnitBytes unit,
                    int n_blocks);

}  // namespace haikuda::cuda
