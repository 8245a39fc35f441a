// The parts of the attention of one token in the chain: how keys and heads are shared out over
// lanes, how a head is finished after its projection, and what lanes keep of the keys that they
// have seen.
#pragma once

#include "cuda/device/async.cuh"
#include "cuda/kernels/attend_parts.cuh"

namespace haikuda::cuda::attend_token_parts {

constexpr int kDepth = 8;      // steps whose keys and values are on their way
constexpr int kMostHeads = 8;  // query heads of a block; a KV head with more has more blocks
constexpr int kMostDim = 256;  // elements of a head
constexpr int kElems = 8;      // of a row of K or V, the 16 bytes that a thread loads at once
// The greatest score so far is followed only when it is left behind by so much: exp of it times the
// number of keys is far from the end of F32.
constexpr float kSlack = 8;

// How threads share out keys: kLanes lanes hold a row of K and one of V, kElems elements each, and
// work for kHeads query heads. After the sums over the row its lanes are shared out over the heads.
template <int kLanes_, int kHeads_>
struct Layout {
  static constexpr int kLanes = kLanes_, kHeads = kHeads_;
  static constexpr int kWidth = kLanes * kElems;    // of a head, padded
  static constexpr int kRows = kWarpSize / kLanes;  // keys of a warp at a time
  static constexpr int kKeys = kThreads / kLanes;   // keys of a step
  static constexpr int kPadded = kHeads <= 2 ? kHeads : kHeads <= 4 ? 4 : 8;
  static constexpr int kLanesOfHead = kLanes / kPadded;
  static constexpr int kSums = kHeads * kElems / kRows;  // of a lane, after those of a warp
  static constexpr int kBatch = kHeads == 1 ? 4 : 1;     // steps taken together, to hide latency
  // Of those that take the value; not those of heads where there are others.
  static constexpr int kFirstValueWarp = kHeads < kWarps - 1 - kWidth / kWarpSize ? kHeads
                                         : kWidth / kWarpSize < kWarps
                                             ? kWarps - 1 - kWidth / kWarpSize
                                             : 0;
  static constexpr std::size_t kRingBytes = sizeof(uint4) * kDepth * 2 * kThreads;
  static constexpr std::size_t kSharedBytes = kRingBytes + (kHeads + 1) * kWidth * sizeof(float) +
                                              2 * kWidth * sizeof(__half) +
                                              (3 * kWarps + 1) * kHeads * sizeof(float);
  static_assert(sizeof(float) * kWarps * kSums * kWarpSize <= kRingBytes);
};

// Where a split leaves its result: max and sum of each head, then (tile_heads, head_dim) values.
constexpr int kStats = 2 * kMostHeads;
__host__ __device__ inline std::int64_t partial_size(int tile_heads, int head_dim) {
  return kStats + static_cast<std::int64_t>(tile_heads) * head_dim;
}

// What a block reads and writes in memory, between kernels of a chain.
struct ChainIo {
  const float *q_, *k_, *v_;
  float *out, *partial;  // of the block's heads
  int head_dim;

  __device__ float q(int i) const { return __ldcg(q_ + i); }
  __device__ float k(int i) const { return __ldcg(k_ + i); }
  __device__ float v(int i) const { return __ldcg(v_ + i); }
  __device__ void put(int h, int element, float2 values) const {
    *reinterpret_cast<float2*>(out + h * head_dim + element) = values;
  }
  __device__ void put_stats(int h, float max, float sum) const {
    partial[h] = max, partial[kMostHeads + h] = sum;
  }
  __device__ void put_partial(int h, int element, float2 values) const {
    *reinterpret_cast<float2*>(partial + kStats + h * head_dim + element) = values;
  }
};

// What a lane needs of the vectors for the elements lane, lane + 32, … of a head: loaded before the
// projections are there.
template <int kEach>
struct HeadVectors {
  float bias[kEach], norm[kEach];
  bool has_norm;
};
template <int kEach>
__device__ HeadVectors<kEach> head_vectors(const float* bias, const float* norm, int head_dim) {
  HeadVectors<kEach> out;
  out.has_norm = norm != nullptr;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int i = threadIdx.x % kWarpSize + j * kWarpSize;
    out.bias[j] = bias != nullptr && i < head_dim ? bias[i] : 0.0f;
    out.norm[j] = norm != nullptr && i < head_dim ? norm[i] : 1.0f;
  }
  return out;
}

// The rotation of those elements: with which other element of the head, and by what angle.
template <int kEach>
struct Rotation {
  int partner[kEach];
  bool is_first[kEach];
  float2 cos_sin[kEach];
};
template <int kEach>
__device__ Rotation<kEach> rotation_of(const float* table, const QkvShape& s, int position) {
  Rotation<kEach> out;
  const int n_pairs = s.n_dims / 2;
  const bool is_neox = s.style == RopeStyle::neox;
  const auto* row =
      reinterpret_cast<const float2*>(table) + static_cast<std::int64_t>(position) * n_pairs;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int i = threadIdx.x % kWarpSize + j * kWarpSize;
    const bool turns = i < s.n_dims;
    out.is_first[j] = is_neox ? i < n_pairs : i % 2 == 0;
    const int partner = is_neox ? (out.is_first[j] ? i + n_pairs : i - n_pairs) : i ^ 1;
    out.partner[j] = turns ? partner : i;
    out.cos_sin[j] = turns ? row[is_neox ? i % n_pairs : i / 2] : make_float2(1, 0);
  }
  return out;
}

// By one warp: a head with its bias, normed and rotated, as finish_qkv computes it, times `factor`;
// zeros from head_dim on. in(i) gives its element i.
template <int kEach, class In>
__device__ void finish_head(float* row,
                            const In& in,
                            const HeadVectors<kEach>& vectors,
                            const Rotation<kEach>& rotation,
                            const QkvShape& shape,
                            float factor) {
  const int lane = threadIdx.x % kWarpSize;
  float x[kEach], sum = 0;
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const int i = lane + j * kWarpSize;
    x[j] = (i < shape.head_dim ? in(i) : 0.0f) + vectors.bias[j];
    sum += x[j] * x[j];
  }
  if (vectors.has_norm) {
    sum = warp_sum(sum);
    const float scale = 1.0f / sqrtf(sum / static_cast<float>(shape.head_dim) + shape.eps);
#pragma unroll
    for (int j = 0; j < kEach; ++j) x[j] *= scale * vectors.norm[j];
  }
#pragma unroll
  for (int j = 0; j < kEach; ++j) row[lane + j * kWarpSize] = x[j];
  __syncwarp();
#pragma unroll
  for (int j = 0; j < kEach; ++j) {
    const float other = row[rotation.partner[j]];
    const float a = rotation.is_first[j] ? x[j] : other, b = rotation.is_first[j] ? other : x[j];
    const float2 turn = rotation.cos_sin[j];
    if (rotation.partner[j] == lane + j * kWarpSize) continue;  // beyond n_dims
    x[j] = rotation.is_first[j] ? a * turn.x - b * turn.y : a * turn.y + b * turn.x;
  }
  __syncwarp();
#pragma unroll
  for (int j = 0; j < kEach; ++j) row[lane + j * kWarpSize] = x[j] * factor;
}

// The heads of the block into `heads` (kHeads, kWidth), q scaled for the scores; the newest key and
// value, where `newest` is not null, into it (2, kWidth) and into the cache. Warp h finishes head
// h, the last one the key as well; other warps, if there are, the value, an element a thread. Waits
// for the projections when all else is there.
template <class L>
__device__ void finish_heads(float* heads,
                             __half* newest,
                             const ChainIo& io,
                             const Arguments& a,
                             const Part& part,
                             int position) {
  constexpr int kEach = L::kWidth / kWarpSize;
  static_assert(L::kHeads <= kWarps && L::kWidth <= kThreads);
  const QkvShape& s = a.shape;
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int element = static_cast<int>(threadIdx.x) - L::kFirstValueWarp * kWarpSize;
  const int group = s.n_heads / s.n_kv_heads;
  const int head_dim = s.head_dim;
  const int q_offset = (part.kv_head * group + part.first_head + warp) * head_dim;
  const int offset = part.kv_head * head_dim;
  const std::int64_t row =
      (static_cast<std::int64_t>(position) * s.n_kv_heads + part.kv_head) * head_dim;
  const bool stores = part.first_head == 0;  // of the blocks that have the newest key, one
  const bool has_q = warp < part.n_here, has_k = newest != nullptr && warp == kWarps - 1;
  const bool has_v = newest != nullptr && element >= 0 && element < head_dim;
  const QkvVectors& v = a.vectors;

  const Rotation<kEach> rotation = rotation_of<kEach>(v.cos_sin, s, position);
  const auto q_vectors = head_vectors<kEach>(
      v.q_bias == nullptr || !has_q ? nullptr : v.q_bias + q_offset, v.q_norm, head_dim);
  const auto k_vectors = head_vectors<kEach>(
      v.k_bias == nullptr || !has_k ? nullptr : v.k_bias + offset, v.k_norm, head_dim);
  const float v_bias = v.v_bias == nullptr || !has_v ? 0.0f : v.v_bias[offset + element];
  wait_for_predecessors();

  const float value = has_v ? io.v(offset + element) + v_bias : 0.0f;
  float* to = heads + warp * L::kWidth;
  if (has_q) {
    finish_head<kEach>(
        to, [&](int i) { return io.q(q_offset + i); }, q_vectors, rotation, s,
        1.0f / sqrtf(static_cast<float>(head_dim)));
  } else if (warp < L::kHeads) {
    for (int i = lane; i < L::kWidth; i += kWarpSize) to[i] = 0;
  }
  if (has_k) {
    float* key = heads + L::kHeads * L::kWidth;
    finish_head<kEach>(
        key, [&](int i) { return io.k(offset + i); }, k_vectors, rotation, s, 1);
    for (int i = lane; i < L::kWidth; i += kWarpSize) {
      newest[i] = __float2half_rn(key[i]);  // an element that this lane wrote
      if (stores && i < head_dim) a.k_cache[row + i] = newest[i];
    }
  }
  if (newest != nullptr && element >= 0 && element < L::kWidth) {
    newest[L::kWidth + element] = __float2half_rn(value);
    if (stores && has_v) a.v_cache[row + element] = newest[L::kWidth + element];
  }
}

__device__ inline void to_floats(float (&out)[kElems], const uint4& bits) {
  const __half2* pairs = reinterpret_cast<const __half2*>(&bits);
#pragma unroll
  for (int i = 0; i < kElems / 2; ++i) {
    const float2 pair = __half22float2(pairs[i]);
    out[2 * i] = pair.x, out[2 * i + 1] = pair.y;
  }
}

// x[h] of the lanes of a row to their sum, of one head in each lane: that of number
// lane / kLanesOfHead. Halves of the heads are exchanged for halves of the lanes.
template <class L>
__device__ float sum_over_row(float (&x)[L::kPadded]) {
  const int lane = threadIdx.x % L::kLanes;
  int distance = L::kLanes / 2;
#pragma unroll
  for (int half = L::kPadded / 2; half > 0; half /= 2, distance /= 2) {
    const bool is_upper = (lane & distance) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float given = is_upper ? x[i] : x[i + half];
      const float kept = is_upper ? x[i + half] : x[i];
      x[i] = kept + __shfl_xor_sync(kAllLanes, given, distance);
    }
  }
  float sum = x[0];
#pragma unroll
  for (int left = L::kLanesOfHead / 2; left > 0; left /= 2)
    sum += __shfl_xor_sync(kAllLanes, sum, left);
  return sum;
}

// The keys that the lanes of a row have seen. max and sum are of the lane's head, as sum_over_row
// leaves it, values of all heads: the sum of exp(score - max) · v. sum is 0 while there was no key.
template <class L>
struct Seen {
  float max = -INFINITY, sum = 0;
  float values[L::kHeads][kElems] = {};

  // `x` is of the lane's head: the row's lanes get that of head h.
  static __device__ float of_head(float x, int h) {
    return __shfl_sync(kAllLanes, x, h * L::kLanesOfHead, L::kLanes);
  }
  __device__ void rescale(float factor) {
    sum *= factor;
#pragma unroll
    for (int h = 0; h < L::kHeads; ++h) {
      const float x = of_head(factor, h);
#pragma unroll
      for (int e = 0; e < kElems; ++e) values[h][e] *= x;
    }
  }
  // The score of the lane's head for a row of K.
  static __device__ float score_of(const float (&q)[L::kHeads][kElems], const uint4& k_bits) {
    float x[kElems], scores[L::kPadded];
    to_floats(x, k_bits);
#pragma unroll
    for (int h = 0; h < L::kPadded; ++h) {
      scores[h] = 0;
      if (h < L::kHeads) {
#pragma unroll
        for (int e = 0; e < kElems; ++e) scores[h] = fmaf(q[h][e], x[e], scores[h]);
      }
    }
    return sum_over_row<L>(scores);
  }
  // kBatch keys a row of lanes. All 32 lanes take part. Rows with !is_key hold zeros.
  template <int kBatch>
  __device__ void add(const float (&q)[L::kHeads][kElems],
                      const uint4 (&k_bits)[kBatch],
                      const uint4 (&v_bits)[kBatch],
                      const bool (&is_key)[kBatch]) {
    float score[kBatch], greatest = -INFINITY;
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const float row_sum = score_of(q, k_bits[b]);
      score[b] = is_key[b] ? row_sum : -INFINITY;
      greatest = fmaxf(greatest, score[b]);
    }
    const bool leads = greatest > max + kSlack;
    if (__any_sync(kAllLanes, leads)) {
      const float factor = leads ? expf(max - greatest) : 1.0f;  // 0 the first time
      if (leads) max = greatest;
      rescale(factor);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const float p = score[b] == -INFINITY ? 0.0f : expf(score[b] - max);
      sum += p;
      float x[kElems];
      to_floats(x, v_bits[b]);
#pragma unroll
      for (int h = 0; h < L::kHeads; ++h) {
        const float weight = of_head(p, h);
#pragma unroll
        for (int e = 0; e < kElems; ++e) values[h][e] = fmaf(weight, x[e], values[h][e]);
      }
    }
  }
};

// The rows of a warp to one: max and sum of the lane's head become those of the warp, and of the
// values, counted through as h · kElems + e, the lane keeps kSums from first_kept on.
template <class L>
__device__ int sum_over_rows(float (&x)[L::kHeads * kElems], Seen<L>& seen) {
  float max = seen.max;
#pragma unroll
  for (int distance = kWarpSize / 2; distance >= L::kLanes; distance /= 2)
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, distance));
  seen.rescale(seen.sum == 0 ? 0.0f : expf(seen.max - max));
  seen.max = max;
#pragma unroll
  for (int h = 0; h < L::kHeads; ++h)
#pragma unroll
    for (int e = 0; e < kElems; ++e) x[h * kElems + e] = seen.values[h][e];
  int first_kept = 0, half = L::kHeads * kElems / 2;
#pragma unroll
  for (int distance = kWarpSize / 2; distance >= L::kLanes; distance /= 2, half /= 2) {
    seen.sum += __shfl_xor_sync(kAllLanes, seen.sum, distance);
    const bool is_upper = (threadIdx.x & distance) != 0;
#pragma unroll
    for (int i = 0; i < L::kHeads * kElems / 2; ++i) {
      if (i >= half) break;
      const float given = is_upper ? x[i] : x[i + half];
      const float kept = is_upper ? x[i + half] : x[i];
      x[i] = kept + __shfl_xor_sync(kAllLanes, given, distance);
    }
    if (is_upper) first_kept += half;
  }
  return first_kept;
}

// Of several parts with their own max and sum: factors for them, so that weight · part sums to the
// whole, whose max and sum all lanes get. Lane l has part l.
struct Merged {
  float weight, max, sum;
};
__device__ inline Merged merge(float max, float sum) {
  const float greatest = warp_max(sum == 0 ? -INFINITY : max);
  const float weight = sum == 0 ? 0.0f : expf(max - greatest);
  return {weight, greatest, warp_sum(weight * sum)};
}

}  // namespace haikuda::cuda::attend_token_parts
