// Attention in the kernel that decodes a token. Few keys: a block a query head. Many: blocks take
// splits of the keys, for a few query heads each, and hand their parts to a block a head, which
// sums them up. Included by token.cu alone.
#pragma once

#include "cuda/kernels/attend_keys.cuh"
#include "cuda/kernels/token_products.cuh"

namespace haikuda::cuda {

using attend_token_parts::Part;

// Between blocks of one kernel.
struct TokenIo {
  const TaggedPair *q_, *k_, *v_;
  TaggedPair* out;  // (n_heads, head_dim)
  Tagged* partial;  // of the block: max and sum of each head, then values (tile_heads, head_dim)
  unsigned in_tag, out_tag;
  int head_dim, group;

  __device__ void wait() const {}
  __device__ void sync() const { sync_consumers(); }
  __device__ float q(int i) const { return wait_for_element(q_, i, in_tag); }
  __device__ float k(int i) const { return wait_for_element(k_, i, in_tag); }
  __device__ float v(int i) const { return wait_for_element(v_, i, in_tag); }
  __device__ void put(const Part& part, int h, int element, float2 values) const {
    const int head = part.kv_head * group + part.first_head + h;
    publish_pair(out + (head * head_dim + element) / 2, values.x, values.y, out_tag);
  }
  __device__ void put_stats(const Part&, int h, float max, float sum) const {
    publish(partial + h, max, out_tag);
    publish(partial + kTokenHeads + h, sum, out_tag);
  }
  __device__ void put_partial(const Part&, int h, int element, float2 values) const {
    Tagged* to = partial + 2 * kTokenHeads + h * head_dim + element;
    publish(to, values.x, out_tag);
    publish(to + 1, values.y, out_tag);
  }
};

__host__ __device__ constexpr int token_partial(int tile_heads, int head_dim) {
  return 2 * kTokenHeads + tile_heads * head_dim;
}

// The block's head: the sum of what all splits of its keys have found.
__device__ inline void combine_splits(
    const TokenParams& params, const TokenIo& io, float* shared, int head, int n_splits) {
  static_assert(kTokenSplits <= attend_token_parts::kMostSplits &&
                kTokenThreads == attend_token_parts::kThreads);
  float *sums = shared, *weights = sums + kTokenThreads, *total = weights + kTokenSplits;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize;
  const int head_dim = params.shape.head_dim;
  const int in_group = head % io.group;
  const int tile = head / io.group * params.n_tiles + in_group / params.tile_heads;
  const int h = in_group % params.tile_heads;
  const std::int64_t step = token_partial(params.tile_heads, head_dim);
  const Tagged* first = params.partial + tile * params.n_splits * step;
  if (thread < kWarpSize) {
    float max = -INFINITY, sum = 0;
    for (int s = lane; s < n_splits; s += kWarpSize)
      max = fmaxf(max, weights[s] = wait_for_value(first + s * step + h, io.out_tag));
    max = warp_max(max);
    for (int s = lane; s < n_splits; s += kWarpSize) {
      const float part = wait_for_value(first + s * step + kTokenHeads + h, io.out_tag);
      const float weight = part == 0 ? 0.0f : expf(weights[s] - max);
      weights[s] = weight;
      sum += weight * part;
    }
    sum = warp_sum(sum);
    if (lane == 0) *total = sum;
  }
  // Elements of the head side by side; groups of threads share out the splits.
  const int element = thread % kTokenDim, group = thread / kTokenDim;
  constexpr int kGroups = kTokenThreads / kTokenDim;
  sync_consumers();
  float sum = 0;
  if (element < head_dim) {
    constexpr int kAhead = 8;
    const Tagged* values = first + 2 * kTokenHeads + h * head_dim + element;
    for (int s = group; s < n_splits; s += kAhead * kGroups) {
      std::uint64_t asked[kAhead];
#pragma unroll
      for (int j = 0; j < kAhead; ++j)
        asked[j] = ask_value(values + min(s + j * kGroups, n_splits - 1) * step);
#pragma unroll
      for (int j = 0; j < kAhead; ++j) {
        const int split = s + j * kGroups;
        if (split >= n_splits) break;
        const float value = has_tag(asked[j], io.out_tag)
                                ? value_of(asked[j])
                                : wait_for_value(values + split * step, io.out_tag);
        sum += weights[split] * value;
      }
    }
  }
  sums[thread] = sum;
  sync_consumers();
  if (group == 0 && element < head_dim && element % 2 == 0) {
    float next = sums[element + 1];
#pragma unroll
    for (int g = 1; g < kGroups; ++g)
      sum += sums[g * kTokenDim + element], next += sums[g * kTokenDim + element + 1];
    publish_pair(io.out + (head * head_dim + element) / 2, sum / *total, next / *total, io.out_tag);
  }
}

template <int kLanes, int kHeads>
using TokenLayout = attend_token_parts::Layout<kLanes, kHeads>;

// What attention of a layer needs, whatever its keys.
struct TokenAttention {
  attend_token_parts::Arguments arguments;
  TokenIo io;

  __device__ TokenAttention(const TokenParams& params, int layer, unsigned tag)
      : arguments{params.k_cache + layer * params.layer_stride,
                  params.v_cache + layer * params.layer_stride,
                  {nullptr, nullptr, nullptr, params.norms[layer].q, params.norms[layer].k,
                   params.cos_sin},
                  params.shape,
                  params.n_tiles,
                  params.tile_heads,
                  {}} {
    const QkvShape& shape = params.shape;
    const TaggedPair* k = params.qkv + shape.n_heads * shape.head_dim / 2;
    io = {params.qkv,
          k,
          k + shape.n_kv_heads * shape.head_dim / 2,
          params.attended,
          params.partial + static_cast<std::int64_t>(blockIdx.x) *
                               token_partial(params.tile_heads, shape.head_dim),
          tag,
          tag,
          shape.head_dim,
          shape.n_heads / shape.n_kv_heads};
  }
};

// Both in `shared`, token_attention_bytes(). Their registers are their own, not those of the
// products.
template <int kLanes>
__device__ __noinline__ void attend_alone(
    const TokenParams& params, std::uint8_t* shared, int layer, int n_past, unsigned tag) {
  namespace parts = attend_token_parts;
  const TokenAttention a(params, layer, tag);
  const Part part = parts::part_alone(a.arguments, n_past, static_cast<int>(blockIdx.x));
  parts::attend<TokenLayout<kLanes, 1>>(shared, a.io, a.arguments, part, n_past);
}
template <int kLanes>
__device__ __noinline__ void attend_split(
    const TokenParams& params, std::uint8_t* shared, int layer, int n_past, unsigned tag) {
  namespace parts = attend_token_parts;
  using Alone = TokenLayout<kLanes, 1>;
  using Tile = TokenLayout<kLanes, kTokenHeads>;
  static_assert(Alone::kKeys == Tile::kKeys);
  const TokenAttention a(params, layer, tag);
  const int block = static_cast<int>(blockIdx.x);
  const int tile = block / params.n_splits, split = block % params.n_splits;
  const Part part =
      parts::part_of_split(a.arguments, n_past, Tile::kKeys, tile, split, params.n_splits);
  if (part.n_here > 0 && tile < params.shape.n_kv_heads * params.n_tiles) {
    if (params.tile_heads == 1)
      parts::attend<Alone>(shared, a.io, a.arguments, part, n_past);
    else
      parts::attend<Tile>(shared, a.io, a.arguments, part, n_past);
  }
  if (part.n_splits == 1 || block >= params.shape.n_heads) return;
  sync_consumers();
  combine_splits(params, a.io, reinterpret_cast<float*>(shared), block, part.n_splits);
}

}  // namespace haikuda::cuda
