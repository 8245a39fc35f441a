// Attention in the kernel that decodes a token. Few keys: a block a query head. Many: blocks take
// splits of the keys, for a few query heads each, and hand their parts to a block a head, which
// sums them up. Included by token.cu alone.
#pragma once

#include "cuda/kernels/token_heads.cuh"
#include "cuda/kernels/token_products.cuh"

namespace haikuda::cuda {

// What a block that takes a split of the keys hands on: max and sum of each head, then values
// (tile_heads, head_dim).
__host__ __device__ constexpr int token_partial(int tile_heads, int head_dim) {
  return 2 * kTokenHeads + tile_heads * head_dim;
}
__device__ inline Tagged* partial_of(const TokenParams& params, int block) {
  return params.partial +
         std::int64_t{block} * token_partial(params.tile_heads, params.shape.head_dim);
}

// The warps' parts to the block's, and out: the attended values, or what the block knows of them.
template <class Type, int kDim>
__device__ void hand_on(const TokenParams& params,
                        const AttendedParts<kDim>& parts,
                        Tagged* partial,
                        const Part& part,
                        unsigned tag,
                        int thread) {
  const int head_dim = params.shape.head_dim;
  const int h = thread / (kDim / 2), element = thread % (kDim / 2) * 2;
  static_assert(kTokenHeads * kDim / 2 <= kTokenThreads);
  if (h >= part.n_here || element >= head_dim) return;
  float max = -INFINITY, sum = 0;
  float2 total = make_float2(0, 0);
#pragma unroll
  for (int w = 0; w < kTokenWarps; ++w) max = fmaxf(max, parts.max[h][w]);
  if (part.has_newest()) {
    max = fmaxf(max, parts.newest_score[h]);
    sum = fast_exp2(parts.newest_score[h] - max);
    const float2 value = __half22float2(parts.newest[1][element / 2]);
    total = make_float2(sum * value.x, sum * value.y);
  }
#pragma unroll
  for (int w = 0; w < kTokenWarps; ++w) {
    const float weight = fast_exp2(parts.max[h][w] - max);  // 0 of a warp that saw none
    const float2 x = *reinterpret_cast<const float2*>(&parts.values[w][h][element]);
    sum += weight * parts.sum[h][w];
    total.x += weight * x.x, total.y += weight * x.y;
  }
  if (part.n_splits == 1) {
    const int head =
        part.kv_head * (params.shape.n_heads / params.shape.n_kv_heads) + part.first_head + h;
    const float factor = __fdividef(1.0f, sum);
    publish_pair(params.attended + place_of_pair<Type>((head * head_dim + element) / 2),
                 total.x * factor, total.y * factor, tag);
    return;
  }
  Tagged* to = partial + 2 * kTokenHeads + h * head_dim + element;
  publish(to, total.x, tag);
  publish(to + 1, total.y, tag);
  if (element == 0) {
    publish(partial + h, max, tag);
    publish(partial + kTokenHeads + h, sum, tag);
  }
}

template <class Type, int kDim>
__device__ void attend_part(const TokenParams& params,
                            const TokenTables& tables,
                            AttendedParts<kDim>& parts,
                            RingPlace& place,
                            int layer,
                            const Part& part,
                            int n_past,
                            unsigned tag,
                            int thread) {
  const int warp = thread / kWarpSize, lane = thread % kWarpSize;
  const auto* cos_sin = tables.shared.at<float2>(params.cos_sin_start);
  finish_projections(parts, params, cos_sin, layer, part, n_past, tag, thread);
  sync_consumers();
  Attended<kDim> seen(&parts.queries[0][0][0], AttendedParts<kDim>::kRow, parts.factors, lane);
  const TokenRing ring(tables);
  const KeySlot<kDim> slot(params);
  const int n_keys = part.end - part.begin, of_slot = slot.n_tiles;
  const int n_tiles = (n_keys + kKeyRows - 1) / kKeyRows;
  // Warps take tiles in turn, two at a time, and wait for the slots of these alone. Once around the
  // ring all wait for each other: so nobody takes what a place holds for what it held the time
  // before.
  const int of_round = ring.n_slots * of_slot;
  const auto slot_of = [&](int tile) { return tile * params.slots_of_key_tile >> 16; };
#pragma unroll 1
  for (int left = n_tiles; left > 0; left -= of_round) {
    const int n_here = min(left, of_round), before = n_tiles - left;
    struct Place {
      RingPlace slot;
      int n_readers;  // warps that are done with the slot once this one is
    };
    const auto find = [&](int tile, Place& found) {
      const int of_all = slot_of(tile), in_slot = tile - of_all * of_slot;
      found.slot = place;
      ring.advance(found.slot, of_all);
      // The last of a slot's tiles speaks for the warps that have none there.
      const bool is_last = in_slot + 1 == of_slot || tile + 1 == n_here;
      found.n_readers = is_last ? kTokenWarps - in_slot : 1;
      const std::uint8_t* keys = ring.bytes(found.slot) + in_slot * KeySlot<kDim>::kTileBytes;
      return KeyTile{keys, keys + of_slot * KeySlot<kDim>::kTileBytes,
                     n_keys - (before + tile) * kKeyRows};
    };
#pragma unroll 1
    for (int tile = warp; tile < n_here; tile += 2 * kTokenWarps) {
      Place places[2];
      const KeyTile first = find(tile, places[0]);
      const bool has_second = tile + kTokenWarps < n_here;
      const KeyTile second =
          has_second ? find(tile + kTokenWarps, places[1]) : KeyTile{first.keys, first.values, 0};
      ring.wait_until_full(places[0].slot);
      if (has_second) ring.wait_until_full(places[1].slot);
      seen.add(first, second);
      ring.say_free(places[0].slot, places[0].n_readers);
      if (has_second) ring.say_free(places[1].slot, places[1].n_readers);
    }
    ring.advance(place, slot_of(n_here - 1) + 1);
    if (left > of_round) sync_consumers();
  }
  // By the last warps, which have the fewest tiles.
  const int of_newest = kTokenWarps - 1 - warp;
  if (part.has_newest() && of_newest < part.n_here) score_newest(parts, of_newest, lane);

  const int g = lane / 4, t = lane % 4;
  float sum = seen.sum;
#pragma unroll
  for (int distance = 4; distance < kWarpSize; distance *= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, distance);
  if (g == 0) parts.max[t][warp] = seen.max, parts.sum[t][warp] = sum;
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    parts.values[warp][t][16 * k + g] = seen.values[k][0] + seen.values[k][1];
    parts.values[warp][t][16 * k + g + 8] = seen.values[k][2] + seen.values[k][3];
  }
  sync_consumers();
  hand_on<Type>(params, parts, partial_of(params, attention_block()), part, tag, thread);
}

// The block's head: the sum of what all splits of its keys have found.
template <class Type, int kDim>
__device__ void combine_splits(
    const TokenParams& params, float* shared, int head, int n_splits, unsigned tag, int thread) {
  static_assert(kTokenSplits <= attend_token_parts::kMostSplits &&
                kTokenThreads == attend_token_parts::kThreads);
  float *sums = shared, *weights = sums + kTokenThreads, *total = weights + kTokenSplits;
  const int lane = thread % kWarpSize;
  const int head_dim = params.shape.head_dim;
  const int group_heads = params.shape.n_heads / params.shape.n_kv_heads;
  const int in_group = head % group_heads;
  const int tile = head / group_heads * params.n_tiles + in_group / params.tile_heads;
  const int h = in_group % params.tile_heads;
  const std::int64_t step = token_partial(params.tile_heads, head_dim);
  const Tagged* first = partial_of(params, tile * params.n_splits);
  if (thread < kWarpSize) {
    constexpr int kEach = (kTokenSplits + kWarpSize - 1) / kWarpSize;
    float parts[2 * kEach];  // max and sum of splits lane, lane + 32 …
    const auto split_of = [&](int i) { return lane + i / 2 * kWarpSize; };
    wait_for_values(
        parts,
        [&](int i) {
          return first + min(split_of(i), n_splits - 1) * step + i % 2 * kTokenHeads + h;
        },
        tag);
    float max = -INFINITY, sum = 0;
#pragma unroll
    for (int i = 0; i < 2 * kEach; i += 2) max = fmaxf(max, parts[i]);  // some twice
    max = warp_max(max);
#pragma unroll
    for (int i = 0; i < 2 * kEach; i += 2) {
      if (split_of(i) >= n_splits) break;
      const float weight = parts[i + 1] == 0 ? 0.0f : fast_exp2(parts[i] - max);
      weights[split_of(i)] = weight;
      sum += weight * parts[i + 1];
    }
    sum = warp_sum(sum);
    if (lane == 0) *total = sum;
  }
  // Elements of the head side by side; groups of threads share out the splits.
  const int element = thread % kDim, group = thread / kDim;
  constexpr int kGroups = kTokenThreads / kDim;
  constexpr int kAhead = 12;  // 33 splits at once where heads have 64 elements
  const Tagged* values = first + 2 * kTokenHeads + h * head_dim + min(element, head_dim - 1);
  float sum = 0;
#pragma unroll 1
  for (int s = group; s < n_splits + group; s += kAhead * kGroups) {
    float of_splits[kAhead];
    wait_for_values(
        of_splits, [&](int j) { return values + min(s + j * kGroups, n_splits - 1) * step; }, tag);
    if (s == group) sync_consumers();  // weights
#pragma unroll
    for (int j = 0; j < kAhead; ++j)
      if (s + j * kGroups < n_splits) sum += weights[s + j * kGroups] * of_splits[j];
  }
  sums[thread] = sum;
  sync_consumers();
  if (group == 0 && element < head_dim && element % 2 == 0) {
    float next = sums[element + 1];
#pragma unroll
    for (int g = 1; g < kGroups; ++g)
      sum += sums[g * kDim + element], next += sums[g * kDim + element + 1];
    const float factor = __fdividef(1.0f, *total);
    publish_pair(params.attended + place_of_pair<Type>((head * head_dim + element) / 2),
                 sum * factor, next * factor, tag);
  }
}

// Its registers are its own, not those of the products.
template <class Type, int kDim>
__device__ __forceinline__ void attend(const TokenParams& params,
                                       const TokenTables& tables,
                                       RingPlace& place,
                                       int layer,
                                       const Part& part_in_shared,
                                       int n_past,
                                       unsigned tag,
                                       int thread) {
  const Part part = part_in_shared;
  auto& parts = *tables.shared.at<AttendedParts<kDim>>(params.x_start);
  if (part.n_here > 0)
    attend_part<Type>(params, tables, parts, place, layer, part, n_past, tag, thread);
  const int block = attention_block();
  if (part.n_splits > 1 && block < params.shape.n_heads) {
    sync_consumers();
    combine_splits<Type, kDim>(params, reinterpret_cast<float*>(&parts), block, part.n_splits, tag,
                               thread);
  }
}

}  // namespace haikuda::cuda
