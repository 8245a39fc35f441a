// How rows of the products of the kernel that decodes a token are cut into slots of a ring in
// shared memory.
#pragma once

#include <cstddef>
#include <span>

#include "cuda/kernels/token_step.h"
#include "cuda/token_shapes.h"

namespace haikuda::cuda {

// A block's ring; no slots: there is no room.
struct TokenRingSize {
  int n_slots, slot_bytes;
  int warp_units;  // that a warp takes of a slot at a time
  int n_feeders;   // warps that copy

  int slot_stride() const { return slot_bytes + kTokenBarrierBytes; }
  std::size_t bytes() const {
    return aligned(static_cast<std::size_t>(n_slots * slot_stride()), 128);
  }
};
// Cuts the rows of each shape into slots of a ring in `bytes` of shared memory, and says how many
// slots are on their way together. A slot has room for least_slot_bytes.
TokenRingSize cut_into_slots(std::span<TokenShape> shapes,
                             TokenKind kind,
                             std::size_t bytes,
                             std::size_t least_slot_bytes,
                             int n_blocks);

}  // namespace haikuda::cuda
