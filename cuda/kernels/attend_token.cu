// All that lies between the projections of one token and its attended values, in one kernel: norm
// and rotation of heads, store into the cache, attention over all keys, shared out over blocks as
// in flash decoding (arXiv 2307.08691 §5), and the sum of the blocks' results by the last of them.
// Bound by latency at short contexts, by the bytes of the cache at long ones: read once, by all
// query heads of a KV head.
#include "cuda/kernels/attend_token.cuh"
#include "cuda/kernels/launch.cuh"

namespace haikuda::cuda {
namespace {

using namespace attend_token_parts;

// By the block that arrives last: the splits' results are summed in order.
__device__ void combine(
    float* out, const float* partial, int n_active, int n_here, const Arguments& a) {
  __shared__ float weights[kMostHeads][kMostSplits];
  __shared__ float totals[kMostHeads];
  __shared__ float4 sums[kThreads];
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int head_dim = a.shape.head_dim;
  const std::int64_t step = partial_size(a.tile_heads, head_dim);
  if (warp < n_here) {
    float max = -INFINITY;
    for (int s = lane; s < n_active; s += kWarpSize)
      max = fmaxf(max, __ldcg(partial + s * step + warp));
    max = warp_max(max);
    float sum = 0;
    for (int s = lane; s < n_active; s += kWarpSize) {
      const float part = __ldcg(partial + s * step + kMostHeads + warp);
      const float weight = part == 0 ? 0.0f : expf(__ldcg(partial + s * step + warp) - max);
      weights[warp][s] = weight;
      sum += weight * part;
    }
    sum = warp_sum(sum);
    if (lane == 0) totals[warp] = sum;
  }
  __syncthreads();
  // Four elements a thread; where there are threads left, several share out the splits.
  const int n_columns = n_here * head_dim / 4;
  const int n_parts = max(kThreads / n_columns, 1);
  for (int first = 0; first < n_columns; first += kThreads) {
    const int column = first + threadIdx.x % (n_parts == 1 ? kThreads : n_columns);
    const int part = n_parts == 1 ? 0 : threadIdx.x / n_columns;
    const bool is_busy = column < n_columns && part < n_parts;
    const int head = column * 4 / head_dim;
    float4 sum = make_float4(0, 0, 0, 0);
    if (is_busy) {
      const auto* values = reinterpret_cast<const float4*>(partial + kStats) + column;
#pragma unroll 8
      for (int s = part; s < n_active; s += n_parts) {
        const float weight = weights[head][s];
        const float4 x = __ldcg(values + s * (step / 4));
        sum.x += weight * x.x, sum.y += weight * x.y;
        sum.z += weight * x.z, sum.w += weight * x.w;
      }
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (is_busy && part == 0) {
      for (int other = 1; other < n_parts; ++other) {
        const float4 x = sums[threadIdx.x + other * n_columns];
        sum.x += x.x, sum.y += x.y, sum.z += x.z, sum.w += x.w;
      }
      const float total = totals[head];
      reinterpret_cast<float4*>(out)[column] =
          make_float4(sum.x / total, sum.y / total, sum.z / total, sum.w / total);
    }
    __syncthreads();
  }
}

// Row r of a step is taken by the kLanes threads from r · kLanes on.
template <class L>
__device__ void attend(const Arguments& a, const Part& part, int n_past) {
  __shared__ float max_of[kWarps][kMostHeads], sum_of[kWarps][kMostHeads];
  __shared__ float weight_of[kWarps][kMostHeads], total_of[kMostHeads];
  __shared__ bool is_last;
  auto* ring = reinterpret_cast<uint4*>(dynamic_shared());  // (kDepth, 2, kThreads)
  auto* heads = reinterpret_cast<float*>(dynamic_shared() + L::kRingBytes);
  auto* newest = reinterpret_cast<__half*>(heads + (L::kHeads + 1) * L::kWidth);

  const QkvShape& shape = a.shape;
  const int warp = threadIdx.x / kWarpSize, lane = threadIdx.x % kWarpSize;
  const int lane_of_row = threadIdx.x % L::kLanes;
  const int group = shape.n_heads / shape.n_kv_heads;
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

  finish_heads<L>(heads, part.has_newest() ? newest : nullptr, a, part, n_past);
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
    seen.template add<L::kBatch>(q, k_bits, v_bits, is_key);
#pragma unroll
    for (int b = 0; b < L::kBatch; ++b) fetch(step + b + kDepth);
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
  const int result = static_cast<int>(blockIdx.y) * static_cast<int>(gridDim.x);
  float* first_partial = a.partial + result * partial_size(a.tile_heads, shape.head_dim);
  float* partial = first_partial + blockIdx.x * partial_size(a.tile_heads, shape.head_dim);
  const bool is_alone = part.n_splits == 1;
  for (int h = warp; h < n_here; h += kWarps) {
    const Merged m = merge(lane < kWarps ? max_of[lane % kWarps][h] : -INFINITY,
                           lane < kWarps ? sum_of[lane % kWarps][h] : 0.0f);
    if (lane < kWarps) weight_of[lane][h] = m.weight;
    if (lane == 0) {
      total_of[h] = m.sum;
      if (!is_alone) partial[h] = m.max, partial[kMostHeads + h] = m.sum;
    }
  }
  __syncthreads();
  float* out =
      a.out + static_cast<std::int64_t>(part.kv_head * group + part.first_head) * shape.head_dim;
  // Value `first` + i of a lane's row is element e of head h: the inverse of sum_over_rows.
  for (int i = warp; i < L::kSums; i += kWarps) {
    const int h = (first_kept + i) / kElems;
    const int element = lane_of_row * kElems + (first_kept + i) % kElems;
    if (h >= n_here || element >= shape.head_dim) continue;
    float sum = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w)
      sum += weight_of[w][h] * sums[(w * L::kSums + i) * kWarpSize + lane];
    const int at = h * shape.head_dim + element;
    if (is_alone)
      out[at] = sum / total_of[h];
    else
      partial[kStats + at] = sum;
  }
  if (is_alone) return;

  __threadfence();
  __syncthreads();
  // Counts from 0 to n_splits - 1 and so back to 0, ready for the next launch.
  if (threadIdx.x == 0) {
    const auto most = static_cast<unsigned>(part.n_splits - 1);
    is_last = atomicInc(a.arrivals + blockIdx.y, most) == most;
  }
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  combine(out, first_partial, part.n_splits, n_here, a);
}

template <class L>
__global__ __launch_bounds__(kThreads, 1) void attend_token_kernel(Arguments a) {
  let_dependents_start();
  // Written before the chain began.
  const int n_past = *static_cast<const volatile int*>(a.position);
  const bool is_short = n_past <= a.plan.keys_alone;
  const Part part = is_short ? part_alone(a, n_past) : part_of_split(a, n_past, L::kKeys);
  if (part.n_here == 0) return;
  if (is_short)
    attend<Layout<L::kLanes, 1>>(a, part, n_past);
  else
    attend<L>(a, part, n_past);
}

struct Tiles {
  int n, heads;  // of a KV head, query heads of each
};
Tiles tiles_of(const QkvShape& shape) {
  const int group = shape.n_heads / shape.n_kv_heads;
  const int n = static_cast<int>(ceil_div(group, kMostHeads));
  return {n, static_cast<int>(ceil_div(group, n))};
}
bool has_kernel(const QkvShape& shape) {
  return shape.head_dim % kElems == 0 && shape.head_dim <= kMostDim;
}
int splits_of(int n_tiles_in_all) {
  return std::clamp(kBlocks / n_tiles_in_all, 1, kMostSplits);
}

template <int kLanes, class F>
void dispatch_heads(int n_heads, F&& f) {
  // Few instances: their code is loaded when a process starts.
  if (n_heads <= 1) return f(Layout<kLanes, 1>{});
  if (n_heads <= 4) return f(Layout<kLanes, 4>{});
  if (n_heads <= 7) return f(Layout<kLanes, 7>{});
  f(Layout<kLanes, 8>{});
}
template <class F>
void dispatch_layout(int head_dim, int n_heads, F&& f) {
  if (head_dim <= 64) return dispatch_heads<8>(n_heads, f);
  if (head_dim <= 128) return dispatch_heads<16>(n_heads, f);
  dispatch_heads<32>(n_heads, f);
}

AttentionShape attention_shape(const QkvShape& s) {
  return {.n = 1, .n_heads = s.n_heads, .n_kv_heads = s.n_kv_heads, .head_dim = s.head_dim};
}

}  // namespace

TokenScratchSize attend_token_scratch(const QkvShape& shape) {
  if (!has_kernel(shape)) return {attention_scratch_size(attention_shape(shape)), 0};
  const Tiles tiles = tiles_of(shape);
  const auto n_tiles = static_cast<std::size_t>(shape.n_kv_heads * tiles.n);
  const auto n_splits = static_cast<std::size_t>(splits_of(shape.n_kv_heads * tiles.n));
  return {n_tiles * n_splits * static_cast<std::size_t>(partial_size(tiles.heads, shape.head_dim)),
          n_tiles};
}

void attend_token(float* out,
                  float* partial,
                  unsigned* arrivals,
                  float* q,
                  __half* k_cache,
                  __half* v_cache,
                  const float* k,
                  const float* v,
                  const int* position,
                  const QkvVectors& vectors,
                  const QkvShape& shape,
                  cudaStream_t stream,
                  const AttendPlan& plan) {
  HAIKUDA_CHECK(shape.n == 1 && shape.n_heads % shape.n_kv_heads == 0);
  HAIKUDA_CHECK(shape.n_dims % 2 == 0 && shape.n_dims <= shape.head_dim);
  if (!has_kernel(shape)) {
    finish_qkv(q, k_cache, v_cache, k, v, position, vectors, shape, stream);
    attention_decode(out, partial, q, k_cache, v_cache, position, attention_shape(shape), stream);
    return;
  }
  const Tiles tiles = tiles_of(shape);
  const int n_tiles = shape.n_kv_heads * tiles.n;
  Arguments arguments{out,     partial,  arrivals, q,     k,       v,           k_cache,
                      v_cache, position, vectors,  shape, tiles.n, tiles.heads, plan};
  const int n_splits = splits_of(n_tiles);
  if (n_splits * n_tiles < shape.n_heads) arguments.plan.keys_alone = -1;  // too few blocks for it
  dispatch_layout(shape.head_dim, tiles.heads, [&](auto layout) {
    using L = decltype(layout);
    launch_dependent(attend_token_kernel<L>, grid_of(n_splits, n_tiles), kThreads, L::kSharedBytes,
                     stream, arguments);
  });
}

}  // namespace haikuda::cuda
