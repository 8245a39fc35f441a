// All that lies between the projections of one token and its attended values, in one kernel: norm
// and rotation of heads, store into the cache, attention over all keys, shared out over blocks as
// in flash decoding (arXiv 2307.08691 §5), and the sum of the blocks' results by the last of them.
// Bound by latency at short contexts, by the bytes of the cache at long ones: read once, by all
// query heads of a KV head.
#include "cuda/kernels/attend_keys.cuh"
#include "cuda/kernels/launch.cuh"

namespace haikuda::cuda {
namespace {

using namespace attend_token_parts;

constexpr int kBlocks = 132;  // aimed at; their number does not depend on the position

struct ChainArguments : Arguments {
  float* out;
  float* partial;
  unsigned* arrivals;
  const float *q, *k, *v;
  const int* position;
};

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

template <class L>
__device__ void attend_in_chain(const ChainArguments& a, const Part& part, int n_past) {
  const int head_dim = a.shape.head_dim;
  const int first_head = part.kv_head * (a.shape.n_heads / a.shape.n_kv_heads) + part.first_head;
  const std::int64_t step = partial_size(a.tile_heads, head_dim);
  float* first_partial =
      a.partial + static_cast<int>(blockIdx.y) * static_cast<int>(gridDim.x) * step;
  const ChainIo io{
      a.q, a.k, a.v, a.out + first_head * head_dim, first_partial + blockIdx.x * step, head_dim};
  attend<L>(dynamic_shared(), io, a, part, n_past);
  if (part.n_splits == 1) return;

  __shared__ bool is_last;
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
  combine(io.out, first_partial, part.n_splits, part.n_here, a);
}

template <class L>
__global__ __launch_bounds__(kThreads, 1) void attend_token_kernel(ChainArguments a) {
  let_dependents_start();
  // Written before the chain began.
  const int n_past = *static_cast<const volatile int*>(a.position);
  const bool is_short = n_past <= a.plan.keys_alone;
  const int tile = static_cast<int>(blockIdx.y), split = static_cast<int>(blockIdx.x);
  const int n_most = static_cast<int>(gridDim.x);
  const Part part = is_short ? part_alone(a, n_past, tile * n_most + split)
                             : part_of_split(a, n_past, L::kKeys, tile, split, n_most);
  if (part.n_here == 0) return;
  if (is_short)
    attend_in_chain<Layout<L::kLanes, 1>>(a, part, n_past);
  else
    attend_in_chain<L>(a, part, n_past);
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
  ChainArguments arguments{{k_cache, v_cache, vectors, shape, tiles.n, tiles.heads, plan},
                           out,
                           partial,
                           arrivals,
                           q,
                           k,
                           v,
                           position};
  const int n_splits = splits_of(n_tiles);
  if (n_splits * n_tiles < shape.n_heads) arguments.plan.keys_alone = -1;  // too few blocks for it
  dispatch_layout(shape.head_dim, tiles.heads, [&](auto layout) {
    using L = decltype(layout);
    launch_dependent(attend_token_kernel<L>, grid_of(n_splits, n_tiles), kThreads, L::kSharedBytes,
                     stream, arguments);
  });
}

}  // namespace haikuda::cuda
