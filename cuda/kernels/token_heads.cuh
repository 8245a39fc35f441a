// The projections of the kernel that decodes a token, finished: heads normed and turned by the
// position, the newest key and value stored. Included by token.cu alone.
#pragma once

#include "cuda/kernels/token_keys.cuh"

namespace haikuda::cuda {

// In shared memory, where x lies otherwise.
template <int kDim>
struct alignas(16) AttendedParts {
  static constexpr int kRow = kDim / 2 + 4;  // so that eight rows are in different banks

  float turned[kTokenHeads + 1][kDim];          // queries and the newest key, while they are turned
  std::uint32_t queries[kTokenHeads][2][kRow];  // pairs of halves, high and low: times a scale …
  float factors[kTokenHeads];  // … and what makes logarithms to the base of 2 of products with them
  float values[kTokenWarps][kTokenHeads][kDim];
  float max[kTokenHeads][kTokenWarps], sum[kTokenHeads][kTokenWarps];
  float newest_score[kTokenHeads];
  __half2 newest[2][kDim / 2];  // key and value
};

// Pairs lane, lane + 32 … of a head, by one warp. All are asked for before one is waited for.
template <int kDim>
struct HeadPairs {
  static constexpr int kEach = kDim / 2 / kWarpSize;
  float2 x[kEach] = {};

  __device__ explicit HeadPairs(int lane) : lane_(lane) {}
  __device__ HeadPairs(const TaggedPair* from, int n_pairs, unsigned tag, int lane) : lane_(lane) {
    std::uint64_t asked[kEach];
    const auto at = [&](int j) { return from + min(lane + j * kWarpSize, n_pairs - 1); };
#pragma unroll
    for (int j = 0; j < kEach; ++j) asked[j] = ask_value(at(j));
    // Until all lanes have theirs: who waits together stays together.
    for (Patience patience;; patience.spend()) {
      bool has_all = true;
#pragma unroll
      for (int j = 0; j < kEach; ++j) has_all = has_all && has_pair_tag(asked[j], tag);
      if (__all_sync(kAllLanes, has_all)) break;
#pragma unroll
      for (int j = 0; j < kEach; ++j)
        if (!has_pair_tag(asked[j], tag)) asked[j] = ask_value(at(j));
    }
#pragma unroll
    for (int j = 0; j < kEach; ++j)
      x[j] = lane + j * kWarpSize < n_pairs ? pair_of(asked[j]) : make_float2(0, 0);
  }

  // Times 1 / rms and norm, unless that is null.
  __device__ void normalize(const float* norm, const QkvShape& shape) {
    if (norm == nullptr) return;
    const int lane = lane_;
    float squares = 0;
#pragma unroll
    for (int j = 0; j < kEach; ++j) squares += x[j].x * x[j].x + x[j].y * x[j].y;
    const float mean = __fdividef(warp_sum(squares), static_cast<float>(shape.head_dim));
    const float scale = rsqrtf(mean + shape.eps);
#pragma unroll
    for (int j = 0; j < kEach; ++j) {
      const int pair = lane + j * kWarpSize;
      if (2 * pair >= shape.head_dim) continue;
      const float2 by = reinterpret_cast<const float2*>(norm)[pair];
      x[j].x *= scale * by.x, x[j].y *= scale * by.y;
    }
  }

  // Turns by the position. cos_sin: one for each angle. row (kDim): to be written over.
  __device__ void turn(float* row, const float2* cos_sin, const QkvShape& shape) {
    const int lane = lane_;
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
#pragma unroll
    for (int j = 0; j < kEach; ++j) x[j] = out[j];
  }

 private:
  int lane_;
};

// A query of the block, by one warp, as columns of halves.
template <int kDim>
__device__ void stage_query(
    AttendedParts<kDim>& parts, int h, const HeadPairs<kDim>& q, float factor, int lane) {
  constexpr float kLog2e = 1.4426950408889634f;
  std::uint32_t greatest = 0;
#pragma unroll
  for (const float2& pair : q.x)
    greatest = max(greatest, max(magnitude_bits(pair.x), magnitude_bits(pair.y)));
  const float scale = fitting_scale(warp_max(greatest));
#pragma unroll
  for (int j = 0; j < HeadPairs<kDim>::kEach; ++j)
    SplitIntoHalves::split(make_float2(q.x[j].x * scale, q.x[j].y * scale),
                           parts.queries[h][0][lane + j * kWarpSize],
                           parts.queries[h][1][lane + j * kWarpSize]);
  if (lane == 0) parts.factors[h] = kLog2e * factor * inverse_of_power(scale);
}

// The block's queries, and where it has it the newest key and value: into `parts`, and into the
// cache by one block. Warp h takes query head h, the last two key and value.
template <int kDim>
__device__ void finish_projections(AttendedParts<kDim>& parts,
                                   const TokenParams& params,
                                   const float2* cos_sin,
                                   int layer,
                                   const Part& part,
                                   int position,
                                   unsigned tag,
                                   int thread) {
  using Pairs = HeadPairs<kDim>;
  const QkvShape& shape = params.shape;
  const int warp = thread / kWarpSize, lane = thread % kWarpSize;
  const int n_pairs = shape.head_dim / 2;
  const TaggedPair* k = params.qkv + shape.n_heads * n_pairs;
  if (warp < kTokenHeads) {
    if (warp >= part.n_here) return stage_query(parts, warp, Pairs(lane), 0, lane);
    const int head = part.kv_head * (shape.n_heads / shape.n_kv_heads) + part.first_head + warp;
    Pairs q(params.qkv + head * n_pairs, n_pairs, tag, lane);
    q.normalize(params.norms[layer].q, shape);
    q.turn(parts.turned[warp], cos_sin, shape);
    stage_query(parts, warp, q, rsqrtf(static_cast<float>(shape.head_dim)), lane);
    return;
  }
  const bool is_key = warp == kTokenWarps - 2;
  if (!part.has_newest() || (!is_key && warp != kTokenWarps - 1)) return;
  Pairs x(k + ((is_key ? 0 : shape.n_kv_heads) + part.kv_head) * n_pairs, n_pairs, tag, lane);
  if (is_key) {
    x.normalize(params.norms[layer].k, shape);
    x.turn(parts.turned[kTokenHeads], cos_sin, shape);
  }
  auto* cache = reinterpret_cast<__half2*>((is_key ? params.k_cache : params.v_cache) +
                                           layer * params.layer_stride) +
                (static_cast<std::int64_t>(position) * shape.n_kv_heads + part.kv_head) * n_pairs;
#pragma unroll
  for (int j = 0; j < Pairs::kEach; ++j) {
    const int pair = lane + j * kWarpSize;
    const __half2 rounded = __float22half2_rn(x.x[j]);
    parts.newest[is_key ? 0 : 1][pair] = rounded;
    if (part.first_head == 0 && pair < n_pairs) cache[pair] = rounded;
  }
}

// The score of the newest key with query h, by one warp.
template <int kDim>
__device__ void score_newest(AttendedParts<kDim>& parts, int h, int lane) {
  const auto value = [](std::uint32_t bits) {
    return __half22float2(reinterpret_cast<const __half2&>(bits));
  };
  float sum = 0;
#pragma unroll
  for (int j = 0; j < HeadPairs<kDim>::kEach; ++j) {
    const int pair = lane + j * kWarpSize;
    const float2 high = value(parts.queries[h][0][pair]), low = value(parts.queries[h][1][pair]);
    const float2 key = __half22float2(parts.newest[0][pair]);
    sum += (high.x + low.x) * key.x + (high.y + low.y) * key.y;
  }
  sum = warp_sum(sum);
  if (lane == 0) parts.newest_score[h] = sum * parts.factors[h];
}

}  // namespace haikuda::cuda
