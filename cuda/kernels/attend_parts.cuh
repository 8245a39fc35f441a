// How keys and query heads of the attention of one token are shared out over blocks: in the chain
// of kernels and in the one that decodes a token.
#pragma once

#include "cuda/device/reduce.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda::attend_token_parts {

constexpr int kWarps = 8;  // of a block that take part
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kMostSplits = 132;

// Whatever the block.
struct Arguments {
  __half *k_cache, *v_cache;
  QkvVectors vectors;
  QkvShape shape;
  int n_tiles, tile_heads;  // blocks that share a KV head's query heads, and how many each takes
  AttendPlan plan;
};

// What a block does: keys [begin, end) for n_here query heads of a KV head, as number `split` of
// n_splits that share those heads' keys.
struct Part {
  int kv_head, first_head, n_here;
  int split, n_splits, begin, end;

  __device__ bool has_newest() const { return split == n_splits - 1; }
};

// Few keys: a block a query head, and nothing to combine.
__device__ inline Part part_alone(const Arguments& a, int n_past, int head) {
  const int group = a.shape.n_heads / a.shape.n_kv_heads;
  const bool is_busy = head < a.shape.n_heads;
  return {head / group, head % group, is_busy ? 1 : 0, 0, 1, 0, n_past};
}
// Many: a split of the keys, of n_most that there can be, and a tile of the query heads of a KV
// head. Splits beyond n_splits have nothing to do.
__device__ inline Part part_of_split(
    const Arguments& a, int n_past, int keys_of_step, int tile, int split, int n_most) {
  const int group = a.shape.n_heads / a.shape.n_kv_heads;
  const int kv_head = tile / a.n_tiles;
  const int first = tile % a.n_tiles * a.tile_heads;
  const int n_steps = (n_past + keys_of_step - 1) / keys_of_step;
  const int steps = max((n_steps + n_most - 1) / n_most, a.plan.steps_to_split);
  const int n_splits = max((n_steps + steps - 1) / steps, 1);
  return {kv_head,
          first,
          split < n_splits ? min(a.tile_heads, group - first) : 0,
          split,
          n_splits,
          min(split * steps * keys_of_step, n_past),
          min((split + 1) * steps * keys_of_step, n_past)};
}

}  // namespace haikuda::cuda::attend_token_parts
