// The attention of one token to the keys of a block, from the projections to what the block knows:
// the attended values where it has all keys, its part of them otherwise. Included by
// attend_token.cu alone.
#pragma once

#include "cuda/kernels/attend_token.cuh"

namespace haikuda::cuda::attend_token_parts {

// Row r of a step is taken by the kLanes threads from r · kLanes on.
template <class L>
__device__ void attend(
    std::uint8_t* shared, const ChainIo& io, const Arguments& a, const Part& part, int n_past) {
  using OfWarps = float[kWarps][L::kHeads];
  auto* ring = reinterpret_cast<uint4*>(shared);  // (kDepth, 2, kThreads)
  auto* heads = reinterpret_cast<float*>(shared + L::kRingBytes);
  auto* newest = reinterpret_cast<__half*>(heads + (L::kHeads + 1) * L::kWidth);
  auto* of_warps = reinterpret_cast<OfWarps*>(newest + 2 * L::kWidth);
  OfWarps &max_of = of_warps[0], &sum_of = of_warps[1], &weight_of = of_warps[2];
  auto* total_of = reinterpret_cast<float*>(of_warps + 3);  // (kHeads)

  const QkvShape& shape = a.shape;
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int lane_of_row = threadIdx.x % L::kLanes;
  const int n_here = part.n_here;

  // A thread reads only what it copied itself: no barrier. The past lies in the cache already.
  const std::int64_t stride = static_cast<std::int64_t>(shape.n_kv_heads) * shape.head_dim;
  const std::int64_t column = part.kv_head * shape.head_dim + lane_of_row * kElems;
  const bool has_column = lane_of_row * kElems < shape.head_dim;
  const int first_key = part.begin + static_cast<int>(threadIdx.x) / L::kLanes;
  const auto fetch = [&](int step) {
    const int key = first_key + step * L::kKeys;
    const bool is_there = has_column && key < part.end;
    const std::int64_t offset = is_there ? key * stride + column : 0;
    uint4* to = ring + (step % kDepth) * 2 * kThreads + threadIdx.x;
    copy_async_16_or_zeros(to, a.k_cache + offset, is_there);
    copy_async_16_or_zeros(to + kThreads, a.v_cache + offset, is_there);
    commit_copies();
  };
#pragma unroll
  for (int step = 0; step < kDepth; ++step) fetch(step);

  finish_heads<L>(heads, part.has_newest() ? newest : nullptr, io, a, part, n_past);
  __syncthreads();
  float q[L::kHeads][kElems];
#pragma unroll
  for (int h = 0; h < L::kHeads; ++h)
#pragma unroll
    for (int e = 0; e < kElems; e += 4) {
      const float4 x =
          *reinterpret_cast<const float4*>(heads + h * L::kWidth + lane_of_row * kElems + e);
      q[h][e] = x.x, q[h][e + 1] = x.y, q[h][e + 2] = x.z, q[h][e + 3] = x.w;
    }

  Seen<L> seen;
  if (part.has_newest() && warp == 0) {
    const auto* words = reinterpret_cast<const uint4*>(newest) + lane_of_row;
    seen.template add<1>(q, {words[0]}, {words[L::kLanes]}, {threadIdx.x < L::kLanes});
  }
  const int n_steps = (part.end - part.begin + L::kKeys - 1) / L::kKeys;
  for (int step = 0; step < n_steps; step += L::kBatch) {
    wait_for_copies<kDepth - L::kBatch>();
    uint4 k_bits[L::kBatch], v_bits[L::kBatch];
    bool is_key[L::kBatch];
#pragma unroll
    for (int b = 0; b < L::kBatch; ++b) {
      const uint4* from = ring + (step + b) % kDepth * 2 * kThreads + threadIdx.x;
      k_bits[b] = from[0], v_bits[b] = from[kThreads];
      is_key[b] = first_key + (step + b) * L::kKeys < part.end;
    }
    // The places are read: the next may come while these are computed with.
#pragma unroll
    for (int b = 0; b < L::kBatch; ++b) fetch(step + b + kDepth);
    seen.template add<L::kBatch>(q, k_bits, v_bits, is_key);
  }

  float x[L::kHeads * kElems];
  const int first_kept = sum_over_rows<L>(x, seen);
  wait_for_copies<0>();
  __syncthreads();                              // the ring is free
  auto* sums = reinterpret_cast<float*>(ring);  // (kWarps, kSums, 32)
#pragma unroll
  for (int i = 0; i < L::kSums; ++i) sums[(warp * L::kSums + i) * kWarpSize + lane] = x[i];
  const int my_head = lane / L::kLanesOfHead;
  if (lane < L::kLanes && lane % L::kLanesOfHead == 0 && my_head < L::kHeads)
    max_of[warp][my_head] = seen.max, sum_of[warp][my_head] = seen.sum;
  __syncthreads();
  const bool is_alone = part.n_splits == 1;
  for (int h = warp; h < n_here; h += kWarps) {
    const Merged m = merge(lane < kWarps ? max_of[lane % kWarps][h] : -INFINITY,
                           lane < kWarps ? sum_of[lane % kWarps][h] : 0.0f);
    if (lane < kWarps) weight_of[lane][h] = m.weight;
    if (lane == 0) {
      total_of[h] = m.sum;
      if (!is_alone) io.put_stats(h, m.max, m.sum);
    }
  }
  __syncthreads();
  // Value `first` + i of a lane's row is element e of head h: the inverse of sum_over_rows.
  static_assert(L::kSums % 2 == 0);
  for (int i = 2 * warp; i < L::kSums; i += 2 * kWarps) {
    const int h = (first_kept + i) / kElems;
    const int element = lane_of_row * kElems + (first_kept + i) % kElems;
    if (h >= n_here || element >= shape.head_dim) continue;
    float2 sum = make_float2(0, 0);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      const float weight = weight_of[w][h], *of_warp = sums + (w * L::kSums + i) * kWarpSize + lane;
      sum.x += weight * of_warp[0], sum.y += weight * of_warp[kWarpSize];
    }
    if (is_alone)
      io.put(h, element, make_float2(sum.x / total_of[h], sum.y / total_of[h]));
    else
      io.put_partial(h, element, sum);
  }
}

}  // namespace haikuda::cuda::attend_token_parts
