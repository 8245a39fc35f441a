// Keys and values of the past in the kernel that decodes a token: copied ahead through the ring of
// weights, and taken by matrix units, 16 keys at once, with the heads' queries and weights as
// columns, which are sums of two halves as all that meets them. Included by token.cu alone.
#pragma once

#include "cuda/kernels/attend_parts.cuh"
#include "cuda/kernels/token_x.cuh"

namespace haikuda::cuda {

using attend_token_parts::Part;

// The block's number among those that attend: the last ones first, which have the fewest rows.
__device__ inline int attention_block() {
  return static_cast<int>(gridDim.x - 1 - blockIdx.x);
}
// Keys and query heads of the block; none where n_here is 0.
__device__ inline Part token_part(const TokenParams& params, int n_past) {
  namespace parts = attend_token_parts;
  constexpr int kKeysOfStep = 64;
  const parts::Arguments a{nullptr,        nullptr,           {}, params.shape,
                           params.n_tiles, params.tile_heads, {}};
  const int block = attention_block();
  if (n_past <= params.keys_alone) return parts::part_alone(a, n_past, block);
  const int tile = block / params.n_splits, split = block % params.n_splits;
  Part part = parts::part_of_split(a, n_past, kKeysOfStep, tile, split, params.n_splits);
  if (tile >= params.shape.n_kv_heads * params.n_tiles) part.n_here = 0;
  return part;
}

// Of a slot: tiles of keys, then as many of values. A row of kDim elements and 16 bytes, so that
// eight of them are in different banks.
template <int kDim>
struct KeySlot {
  static constexpr int kRowBytes = kDim * 2 + 16, kTileBytes = kKeyRows * kRowBytes;
  int n_tiles;

  __device__ explicit KeySlot(const TokenParams& params) : n_tiles(params.key_tiles) {}
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
#pragma unroll 1
  for (; first < n_keys; first += params.n_feeders * slot.n_keys()) {
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
    ring.advance(place, params.n_feeders);
    turn += params.n_feeders;
  }
  turn -= (n_keys + slot.n_keys() - 1) / slot.n_keys();
}

// Up to 16 keys and their values, as they lie in a slot.
struct KeyTile {
  const std::uint8_t *keys, *values;
  int n;
};

// Two halves whose sum is x, as a column of a matrix: an even lane / 4 has the first.
__device__ inline std::uint32_t half_of(float2 x, bool is_first) {
  std::uint32_t high, low;
  SplitIntoHalves::split(x, high, low);
  return is_first ? high : low;
}

// A lane (g, t) = (lane / 4, lane % 4) has of the heads' queries column g, of the scores those of
// keys g and g + 8 with head t, of the sums elements g and g + 8 of each 16 of head t. Scores are
// logarithms to the base of 2.
template <int kDim>
struct Attended {
  static constexpr int kSteps = kDim / 16, kRowBytes = KeySlot<kDim>::kRowBytes;

  int lane;
  uint2 q[kSteps];
  float factor;                    // of the scores of head t
  float max = -INFINITY, sum = 0;  // of head t; the same max in all lanes of a head
  float values[kSteps][4] = {};

  // queries (kTokenHeads, 2, row), factors (kTokenHeads).
  __device__ Attended(const std::uint32_t* queries, int row, const float* factors, int lane)
      : lane(lane) {
    const int g = lane / 4, t = lane % 4;
    const std::uint32_t* column = queries + g * row + t;
#pragma unroll
    for (int k = 0; k < kSteps; ++k) q[k] = make_uint2(column[8 * k], column[8 * k + 4]);
    factor = factors[t];
  }

  __device__ void add(const KeyTile& first, const KeyTile& second) {
    const int g = lane / 4, t = lane % 4;
    const KeyTile* tiles[2] = {&first, &second};
    float scores[2][4] = {};
#pragma unroll
    for (int k = 0; k < kSteps; ++k)
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        std::uint32_t part[4];
        load_tiles(part, tiles[i]->keys + lane % 16 * kRowBytes + lane / 16 * 16 + 32 * k);
        multiply_add(scores[i], part, q[k].x, q[k].y);
      }
    float s[2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        s[i][j] = g + 8 * j < tiles[i]->n ? (scores[i][2 * j] + scores[i][2 * j + 1]) * factor
                                          : -INFINITY;

    // The greatest so far is followed only when it is left far behind.
    constexpr float kSlack = 8;
    float greatest = fmaxf(fmaxf(s[0][0], s[0][1]), fmaxf(s[1][0], s[1][1]));
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
    std::uint32_t columns[2][2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float p[2] = {fast_exp2(s[i][0] - max), fast_exp2(s[i][1] - max)};
      sum += p[0] + p[1];
      // As columns: from where keys 2t and 2t + 1, and those 8 further, are with head g / 2.
      const int source = 8 * t + g / 2;
      float weight[4];
#pragma unroll
      for (int j = 0; j < 4; ++j) weight[j] = __shfl_sync(kAllLanes, p[j / 2], source + j % 2 * 4);
      const bool is_first = g % 2 == 0;
      columns[i][0] = half_of(make_float2(weight[0], weight[1]), is_first);
      columns[i][1] = half_of(make_float2(weight[2], weight[3]), is_first);
    }
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const std::uint8_t* value =
          tiles[i]->values + (lane / 16 * 8 + lane % 8) * kRowBytes + lane % 16 / 8 * 16;
#pragma unroll
      for (int k = 0; k < kSteps; ++k) {
        std::uint32_t part[4];
        load_tiles_transposed(part, value + 32 * k);
        multiply_add(values[k], part, columns[i][0], columns[i][1]);
      }
    }
  }
};

}  // namespace haikuda::cuda
