// Attention in the kernel that decodes a token. Few keys: a block a query head. Many: blocks take
// splits of the keys, for a few query heads each, and hand their parts to a block a head, which
// sums them up. Keys and values of the past come through the ring of weights, copied ahead like
// these; matrix units take 16 keys at once, with the heads' queries and weights as columns, which
// are sums of two halves as all that meets them. Included by token.cu alone.
#pragma once

#include "cuda/kernels/attend_token.cuh"
#include "cuda/kernels/token_products.cuh"

namespace haikuda::cuda {

using attend_token_parts::Part;

// What a block that takes a split of the keys hands on: max and sum of each head, then values
// (tile_heads, head_dim).
__host__ __device__ constexpr int token_partial(int tile_heads, int head_dim) {
  return 2 * kTokenHeads + tile_heads * head_dim;
}
__device__ inline Tagged* partial_of(const TokenParams& params, int block) {
  return params.partial +
         std::int64_t{block} * token_partial(params.tile_heads, params.shape.head_dim);
}

// Keys and query heads of the block; none where n_here is 0.
__device__ inline Part token_part(const TokenParams& params, int n_past) {
  namespace parts = attend_token_parts;
  constexpr int kKeysOfStep = 64;
  const parts::Arguments a{nullptr,        nullptr,           {}, params.shape,
                           params.n_tiles, params.tile_heads, {}};
  const int block = static_cast<int>(blockIdx.x);
  if (n_past <= params.keys_alone) return parts::part_alone(a, n_past, block);
  const int tile = block / params.n_splits, split = block % params.n_splits;
  Part part = parts::part_of_split(a, n_past, kKeysOfStep, tile, split, params.n_splits);
  if (tile >= params.shape.n_kv_heads * params.n_tiles) part.n_here = 0;
  return part;
}

// ---- keys and values in the ring

// 16 keys, or values, that a matrix unit takes.
constexpr int kKeyRows = 16;
// Of a slot: tiles of keys, then as many of values. A row of kDim elements and 16 bytes, so that
// eight of them are in different banks.
template <int kDim>
struct KeySlot {
  static constexpr int kRowBytes = kDim * 2 + 16, kTileBytes = kKeyRows * kRowBytes;
  int n_tiles;

  __device__ explicit KeySlot(const TokenParams& params)
      : n_tiles(params.slot_bytes() / (2 * kTileBytes)) {}
  __device__ int n_keys() const { return n_tiles * kKeyRows; }
};

// By a warp that copies: its slots of the block's keys, zeros where there are none.
template <int kDim>
__device__ void feed_keys(const TokenRing& ring,
                          RingPlace& place,
                          int& turn,
                          const TokenParams& params,
                          int layer,
                          const Part& part) {
  constexpr int kVectors = kDim / 8;  // of 16 bytes in a row
  const KeySlot<kDim> slot(params);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int head_dim = params.shape.head_dim, n_keys = part.n_here > 0 ? part.end - part.begin : 0;
  const std::int64_t stride = static_cast<std::int64_t>(params.shape.n_kv_heads) * head_dim;
  const std::int64_t start = layer * params.layer_stride + part.begin * stride +
                             part.kv_head * head_dim + lane % kVectors * 8;
  const bool has_column = lane % kVectors * 8 < head_dim;
  int first = turn * slot.n_keys();
  for (; first < n_keys; first += kTokenFeeders * slot.n_keys()) {
    const int n_rows = min((n_keys - first + kKeyRows - 1) / kKeyRows * kKeyRows, slot.n_keys());
    ring.wait_until_free(place);
    std::uint8_t* to = ring.bytes(place) + lane % kVectors * 16;
#pragma unroll
    for (int is_value = 0; is_value < 2; ++is_value) {
      const __half* from = (is_value ? params.v_cache : params.k_cache) + start;
#pragma unroll 4
      for (int row = lane / kVectors; row < n_rows; row += kWarpSize / kVectors) {
        const bool is_there = has_column && first + row < n_keys;
        copy_async_16_or_zeros(to + row * KeySlot<kDim>::kRowBytes,
                               from + (is_there ? (first + row) * stride : 0), is_there);
      }
      to += slot.n_tiles * KeySlot<kDim>::kTileBytes;
    }
    arrive_when_copied(ring.full(place));
    place.advance(kTokenFeeders, ring.n_slots);
    turn += kTokenFeeders;
  }
  turn -= (n_keys + slot.n_keys() - 1) / slot.n_keys();
}

// ---- what a warp has seen of the keys

// Two halves whose sum is x, as a column of a matrix: an even lane / 4 has the first.
__device__ inline std::uint32_t half_of(float2 x, bool is_first) {
  std::uint32_t high, low;
  TokenF16::split(x, high, low);
  return is_first ? high : low;
}

// A lane (g, t) = (lane / 4, lane % 4) has of the heads' queries column g, of the scores those of
// keys g and g + 8 with head t, of the sums elements g and g + 8 of each 16 of head t. Scores are
// logarithms to the base of 2.
template <int kDim>
struct Attended {
  static constexpr int kSteps = kDim / 16;

  uint2 q[kSteps];
  float factor;                    // of the scores: queries were scaled to suit halves
  float max = -INFINITY, sum = 0;  // of head t; the same max in all lanes of a head
  float values[kSteps][4] = {};

  // heads (kTokenHeads, kDim).
  __device__ explicit Attended(const float* heads) {
    constexpr float kLog2e = 1.4426950408889634f;
    const int g = threadIdx.x % kWarpSize / 4, t = threadIdx.x % 4;
    const float* column = heads + g / 2 * kDim + 2 * t;
    std::uint32_t greatest = 0;
    float2 pairs[kSteps][2];
#pragma unroll
    for (int k = 0; k < 2 * kSteps; ++k) {
      const float2 pair = *reinterpret_cast<const float2*>(column + 8 * k);
      pairs[k / 2][k % 2] = pair;
      greatest = ::max(greatest, ::max(magnitude_bits(pair.x), magnitude_bits(pair.y)));
    }
    const float scale = fitting_scale(warp_max(greatest));
    factor = kLog2e / scale;
    const auto part = [&](float2 x) {
      return half_of(make_float2(x.x * scale, x.y * scale), g % 2 == 0);
    };
#pragma unroll
    for (int k = 0; k < kSteps; ++k) q[k] = make_uint2(part(pairs[k][0]), part(pairs[k][1]));
  }

  // The first n_keys of 16, whose rows lie row_bytes apart.
  __device__ void add(const std::uint8_t* keys,
                      const std::uint8_t* of_value,
                      int row_bytes,
                      int n_keys) {
    const int lane = threadIdx.x % kWarpSize, g = lane / 4, t = lane % 4;
    float scores[4] = {};
    const std::uint8_t* row = keys + lane % 16 * row_bytes + lane / 16 * 16;
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      std::uint32_t tiles[4];
      load_tiles(tiles, row + 32 * k);
      multiply_add(scores, tiles, q[k].x, q[k].y);
    }
    float s[2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
      s[i] = g + 8 * i < n_keys ? (scores[2 * i] + scores[2 * i + 1]) * factor : -INFINITY;

    // The greatest so far is followed only when it is left far behind.
    constexpr float kSlack = 8;
    float greatest = fmaxf(s[0], s[1]);
    if (__any_sync(kAllLanes, greatest > max + kSlack)) {
#pragma unroll
      for (int distance = 4; distance < kWarpSize; distance *= 2)
        greatest = fmaxf(greatest, __shfl_xor_sync(kAllLanes, greatest, distance));
      const float next = fmaxf(max, greatest), rescale = fast_exp2(max - next);
      max = next;
      sum *= rescale;
#pragma unroll
      for (int k = 0; k < kSteps; ++k)
#pragma unroll
        for (int i = 0; i < 4; ++i) values[k][i] *= rescale;
    }
    const float p[2] = {fast_exp2(s[0] - max), fast_exp2(s[1] - max)};
    sum += p[0] + p[1];

    // As columns: from where keys 2t and 2t + 1, and those 8 further, are with head g / 2.
    const int source = 8 * t + g / 2;
    float weight[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) weight[i] = __shfl_sync(kAllLanes, p[i / 2], source + i % 2 * 4);
    const bool is_first = g % 2 == 0;
    const std::uint32_t low = half_of(make_float2(weight[0], weight[1]), is_first),
                        high = half_of(make_float2(weight[2], weight[3]), is_first);
    const std::uint8_t* value =
        of_value + (lane / 16 * 8 + lane % 8) * row_bytes + lane % 16 / 8 * 16;
#pragma unroll
    for (int k = 0; k < kSteps; ++k) {
      std::uint32_t tiles[4];
      load_tiles_transposed(tiles, value + 32 * k);
      multiply_add(values[k], tiles, low, high);
    }
  }
};

// In shared memory, where x lies otherwise.
template <int kDim>
struct alignas(16) AttendedParts {
  float heads[kTokenHeads + 1][kDim];  // queries; and the newest key while it is turned
  float values[kTokenWarps][kTokenHeads][kDim];
  float max[kTokenWarps][kTokenHeads], sum[kTokenWarps][kTokenHeads];
  __half2 newest[2][kDim / 2];  // key and value
};

// ---- the projections, finished

// Pairs lane, lane + 32 … of a head, by one warp. All are asked for before one is waited for.
template <int kDim>
struct HeadPairs {
  static constexpr int kEach = kDim / 2 / kWarpSize;
  float2 x[kEach];

  __device__ HeadPairs(const TaggedPair* from, int n_pairs, unsigned tag) {
    const int lane = threadIdx.x % kWarpSize;
    std::uint64_t asked[kEach];
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int pair = lane + j * kWarpSize;
      if (pair < n_pairs) asked[j] = ask_value(from + pair);
    }
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int pair = lane + j * kWarpSize;
      x[j] = pair < n_pairs ? wait_for_pair(asked[j], from + pair, tag) : make_float2(0, 0);
    }
  }

  // Times 1 / rms and norm, unless that is null.
  __device__ void normalize(const float* norm, const QkvShape& shape) {
    if (norm == nullptr) return;
    const int lane = threadIdx.x % kWarpSize;
    float squares = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j) squares += x[j].x * x[j].x + x[j].y * x[j].y;
    const float rms = warp_sum(squares) / static_cast<float>(shape.head_dim) + shape.eps;
    const float scale = 1.0f / sqrtf(rms);
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int pair = lane + j * kWarpSize;
      if (2 * pair >= shape.head_dim) continue;
      const float2 by = reinterpret_cast<const float2*>(norm)[pair];
      x[j].x *= scale * by.x, x[j].y *= scale * by.y;
    }
  }

  // Turned by the position, times `factor`, into `row` (kDim). cos_sin: one for each angle.
  __device__ void turn(float* row, const float2* cos_sin, const QkvShape& shape, float factor) {
    const int lane = threadIdx.x % kWarpSize;
    auto* pairs = reinterpret_cast<float2*>(row);
    const bool is_neox = shape.style == RopeStyle::neox;
    const int n_turned = shape.n_dims / 2, half = n_turned / 2;  // pairs
    if (is_neox) {
#pragma unroll
      for (int j = 0; j < kEach; ++j) pairs[lane + j * kWarpSize] = x[j];
      __syncwarp();
    }
    float2 out[kEach];
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int pair = lane + j * kWarpSize;
      out[j] = x[j];
      if (pair >= n_turned) continue;
      if (!is_neox) {
        const float2 a = cos_sin[pair];
        out[j] = make_float2(x[j].x * a.x - x[j].y * a.y, x[j].x * a.y + x[j].y * a.x);
        continue;
      }
      // Element i turns with i + n_dims / 2: the first by cos - sin, the second by cos + sin.
      const bool is_first = pair < half;
      const int low = is_first ? pair : pair - half;
      const float2 other = pairs[is_first ? pair + half : low];
      const float4 a = reinterpret_cast<const float4*>(cos_sin)[low];
      const float sign = is_first ? -1.0f : 1.0f;
      out[j] =
          make_float2(x[j].x * a.x + sign * other.x * a.y, x[j].y * a.z + sign * other.y * a.w);
    }
    if (is_neox) __syncwarp();
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      pairs[lane + j * kWarpSize] = make_float2(out[j].x * factor, out[j].y * factor);
  }
};

// The block's queries, scaled for the scores, and where it has it the newest key and value: into
// `parts`, and into the cache by one block. Warp h takes query head h, the last two key and value.
template <int kDim>
__device__ void finish_projections(AttendedParts<kDim>& parts,
                                   const TokenParams& params,
                                   const float2* cos_sin,
                                   int layer,
                                   const Part& part,
                                   int position,
                                   unsigned tag) {
  const QkvShape& shape = params.shape;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int n_pairs = shape.head_dim / 2;
  const TaggedPair* k = params.qkv + shape.n_heads * n_pairs;
  if (warp < kTokenHeads) {
    if (warp >= part.n_here) {
      for (int i = lane; i < kDim; i += kWarpSize) parts.heads[warp][i] = 0;
      return;
    }
    const int head = part.kv_head * (shape.n_heads / shape.n_kv_heads) + part.first_head + warp;
    HeadPairs<kDim> q(params.qkv + head * n_pairs, n_pairs, tag);
    q.normalize(params.norms[layer].q, shape);
    q.turn(parts.heads[warp], cos_sin, shape, rsqrtf(static_cast<float>(shape.head_dim)));
    return;
  }
  const bool is_key = warp == kTokenWarps - 2;
  if (!part.has_newest() || (!is_key && warp != kTokenWarps - 1)) return;
  HeadPairs<kDim> x(k + ((is_key ? 0 : shape.n_kv_heads) + part.kv_head) * n_pairs, n_pairs, tag);
  if (is_key) {
    float* row = parts.heads[kTokenHeads];
    x.normalize(params.norms[layer].k, shape);
    x.turn(row, cos_sin, shape, 1);
#pragma unroll
    for (int j = 0; j < HeadPairs<kDim>::kEach; ++j)
      x.x[j] = reinterpret_cast<const float2*>(row)[lane + j * kWarpSize];
  }
  auto* cache = reinterpret_cast<__half2*>((is_key ? params.k_cache : params.v_cache) +
                                           layer * params.layer_stride) +
                (static_cast<std::int64_t>(position) * shape.n_kv_heads + part.kv_head) * n_pairs;
#pragma unroll
  for (int j = 0; j < HeadPairs<kDim>::kEach; ++j) {
    const int pair = lane + j * kWarpSize;
    const __half2 rounded = __float22half2_rn(x.x[j]);
    parts.newest[is_key ? 0 : 1][pair] = rounded;
    if (part.first_head == 0 && pair < n_pairs) cache[pair] = rounded;
  }
}

// The warps' parts to the block's, and out: the attended values, or what the block knows of them.
template <int kDim>
__device__ void hand_on(const TokenParams& params,
                        const AttendedParts<kDim>& parts,
                        Tagged* partial,
                        const Part& part,
                        unsigned tag) {
  const int thread = static_cast<int>(threadIdx.x), head_dim = params.shape.head_dim;
  const int h = thread / (kDim / 2), element = thread % (kDim / 2) * 2;
  static_assert(kTokenHeads * kDim / 2 <= kTokenThreads);
  if (h >= part.n_here || element >= head_dim) return;
  float max = -INFINITY, sum = 0;
  float2 total = make_float2(0, 0);
#pragma unroll
  for (int w = 0; w < kTokenWarps; ++w) max = fmaxf(max, parts.max[w][h]);
#pragma unroll
  for (int w = 0; w < kTokenWarps; ++w) {
    const float weight = fast_exp2(parts.max[w][h] - max);  // 0 of a warp that saw none
    const float2 x = *reinterpret_cast<const float2*>(&parts.values[w][h][element]);
    sum += weight * parts.sum[w][h];
    total.x += weight * x.x, total.y += weight * x.y;
  }
  if (part.n_splits == 1) {
    const int head =
        part.kv_head * (params.shape.n_heads / params.shape.n_kv_heads) + part.first_head + h;
    const float factor = 1.0f / sum;
    publish_pair(params.attended + place_in_units((head * head_dim + element) / 2),
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

template <int kDim>
__device__ void attend_part(const TokenParams& params,
                            const TokenTables& tables,
                            AttendedParts<kDim>& parts,
                            RingPlace& place,
                            int layer,
                            const Part& part,
                            int n_past,
                            unsigned tag) {
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize, lane = threadIdx.x % kWarpSize;
  const auto* cos_sin = tables.shared.at<float2>(params.cos_sin_start);
  finish_projections(parts, params, cos_sin, layer, part, n_past, tag);
  sync_consumers();
  Attended<kDim> seen(parts.heads[0]);
  const TokenRing ring(tables);
  const KeySlot<kDim> slot(params);
  const int n_keys = part.end - part.begin, of_slot = slot.n_keys();
  int mine = warp * kKeyRows;  // the first key of the warp's next 16, in turn
  for (int first = 0; first < n_keys; first += of_slot) {
    ring.wait_until_full(place);
    const std::uint8_t* keys = ring.bytes(place);
    for (; mine < min(first + of_slot, n_keys); mine += kTokenWarps * kKeyRows) {
      const std::uint8_t* at = keys + (mine - first) * KeySlot<kDim>::kRowBytes;
      seen.add(at, at + of_slot * KeySlot<kDim>::kRowBytes, KeySlot<kDim>::kRowBytes,
               n_keys - mine);
    }
    ring.say_free(place, 1);
    place.advance(1, ring.n_slots);
  }
  // By whose turn it is: one row for all 16, of which the first counts.
  const int n_tiles = (n_keys + kKeyRows - 1) / kKeyRows;
  if (part.has_newest() && n_tiles % kTokenWarps == warp)
    seen.add(reinterpret_cast<const std::uint8_t*>(parts.newest[0]),
             reinterpret_cast<const std::uint8_t*>(parts.newest[1]), 0, 1);

  const int g = lane / 4, t = lane % 4;
  float sum = seen.sum;
#pragma unroll
  for (int distance = 4; distance < kWarpSize; distance *= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, distance);
  if (g == 0) parts.max[warp][t] = seen.max, parts.sum[warp][t] = sum;
#pragma unroll
  for (int k = 0; k < kDim / 16; ++k) {
    parts.values[warp][t][16 * k + g] = seen.values[k][0] + seen.values[k][1];
    parts.values[warp][t][16 * k + g + 8] = seen.values[k][2] + seen.values[k][3];
  }
  sync_consumers();
  hand_on(params, parts, partial_of(params, static_cast<int>(blockIdx.x)), part, tag);
}

// The block's head: the sum of what all splits of its keys have found.
__device__ inline void combine_splits(
    const TokenParams& params, float* shared, int head, int n_splits, unsigned tag) {
  static_assert(kTokenSplits <= attend_token_parts::kMostSplits &&
                kTokenThreads == attend_token_parts::kThreads);
  float *sums = shared, *weights = sums + kTokenThreads, *total = weights + kTokenSplits;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarpSize;
  const int head_dim = params.shape.head_dim;
  const int group_heads = params.shape.n_heads / params.shape.n_kv_heads;
  const int in_group = head % group_heads;
  const int tile = head / group_heads * params.n_tiles + in_group / params.tile_heads;
  const int h = in_group % params.tile_heads;
  const std::int64_t step = token_partial(params.tile_heads, head_dim);
  const Tagged* first = partial_of(params, tile * params.n_splits);
  if (thread < kWarpSize) {
    float max = -INFINITY, sum = 0;
    for (int s = lane; s < n_splits; s += kWarpSize)
      max = fmaxf(max, weights[s] = wait_for_value(first + s * step + h, tag));
    max = warp_max(max);
    for (int s = lane; s < n_splits; s += kWarpSize) {
      const float part = wait_for_value(first + s * step + kTokenHeads + h, tag);
      const float weight = part == 0 ? 0.0f : fast_exp2(weights[s] - max);
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
        const float value = has_tag(asked[j], tag) ? value_of(asked[j])
                                                   : wait_for_value(values + split * step, tag);
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
    publish_pair(params.attended + place_in_units((head * head_dim + element) / 2), sum / *total,
                 next / *total, tag);
  }
}

// Its registers are its own, not those of the products.
template <int kDim>
__device__ __forceinline__ void attend(const TokenParams& params,
                                       const TokenTables& tables,
                                       RingPlace& place,
                                       int layer,
                                       int n_past,
                                       unsigned tag) {
  const Part part = token_part(params, n_past);
  auto& parts = *tables.shared.at<AttendedParts<kDim>>(params.x_start);
  if (part.n_here > 0) attend_part(params, tables, parts, place, layer, part, n_past, tag);
  const int block = static_cast<int>(blockIdx.x);
  if (part.n_splits > 1 && block < params.shape.n_heads) {
    sync_consumers();
    combine_splits(params, reinterpret_cast<float*>(&parts), block, part.n_splits, tag);
  }
}

}  // namespace haikuda::cuda
