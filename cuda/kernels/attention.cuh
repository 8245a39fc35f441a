// What the two attention kernels share.
#pragma once

#include <type_traits>

#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {

// Blocks over the keys of a head. Many tokens fill the GPU by themselves.
inline int attention_splits(int n_tokens) {
  return n_tokens <= kMaxSplitTokens ? kAttentionSplits : 1;
}

// Calls f with the number of pairs of elements that each of a warp's 32 lanes holds of a head.
template <class F>
void dispatch_head_dim(int head_dim, F&& f) {
  HAIKUDA_CHECK(head_dim >= 2 && head_dim % 2 == 0 && head_dim <= 1024);
  if (head_dim <= 64) return f(std::integral_constant<int, 1>{});
  if (head_dim <= 128) return f(std::integral_constant<int, 2>{});
  if (head_dim <= 256) return f(std::integral_constant<int, 4>{});
  f(std::integral_constant<int, 16>{});
}

}  // namespace haikuda::cuda
