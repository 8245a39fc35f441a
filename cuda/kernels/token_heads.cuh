// The projections of the kernel that decodes a token, finished: heads normed and turned by the
// position, the newest key and value stored. Included by token.cu alone.
#pragma once

#include "cuda/kernels/token_keys.cuh"

namespace haikuda::cuda {

// In shared memory, where x lies otherwise.
template <int kDim>
struct alignas(16) AttendedParts {
  float heads[kTokenHeads + 1][kDim];  // queries; and the newest key while it is turned
  float values[kTokenWarps][kTokenHeads][kDim];
  float max[kTokenWarps][kTokenHeads], sum[kTokenWarps][kTokenHeads];
  __half2 newest[2][kDim / 2];  // key and value
};

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

}  // namespace haikuda::cuda
