// Attention of few tokens over many keys (flash decoding, arXiv 2307.08691 §5 and its split over
// keys). Bound by memory: the keys and values of the context, once for each query head.
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/attention.cuh"

namespace haikuda::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kBatch = 4;                               // keys a warp has in flight
constexpr int kKeysPerWarp = kAttentionSlice / kWarps;  // of a slice
static_assert(kKeysPerWarp % kBatch == 0);
static_assert(kAttentionSplits <= kWarpSize);

// A partial result over some keys: softmax = exp(score - max) / sum, values the sum of exp(score -
// max) · v. In scratch: max, sum, values (head_dim). sum is 0 where there was no key (and NaN,
// never 0, after a NaN).
struct Scratch {
  float* max;
  float* sum;
  float* values;
};
__device__ Scratch scratch_of(float* scratch,
                              std::int64_t token,
                              int head,
                              int n_heads,
                              int split,
                              int n_splits,
                              int head_dim) {
  float* p = scratch + ((token * n_heads + head) * n_splits + split) * (head_dim + 2);
  return {p, p + 1, p + 2};
}

// The part of one warp: keys of the slices split, split + n_splits, …, of each the warp's sixteen.
// Lane l holds the pairs l, l + 32, … of q and of the result.
template <int kPairs>
__device__ void attend_slices(float2 (&values)[kPairs],
                              float& max,
                              float& sum,
                              const float2 (&q)[kPairs],
                              const __half* k,
                              const __half* v,
                              std::int64_t stride,
                              int n_pairs,
                              int n_keys) {
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  for (int slice = blockIdx.z * kAttentionSlice; slice < n_keys;
       slice += gridDim.z * kAttentionSlice) {
    const int begin = slice + warp * kKeysPerWarp;
    const int end = min(begin + kKeysPerWarp, n_keys);
    for (int key = begin; key < end; key += kBatch) {
      float scores[kBatch];
      float new_max = max;
#pragma unroll
      for (int u = 0; u < kBatch; ++u) {
        const auto* row = reinterpret_cast<const __half2*>(k + min(key + u, end - 1) * stride);
        float dot = 0;
#pragma unroll
        for (int i = 0; i < kPairs; ++i) {
          const int pair = lane + i * kWarpSize;
          if (pair < n_pairs) {
            const float2 x = __half22float2(row[pair]);
            dot += q[i].x * x.x + q[i].y * x.y;
          }
        }
        dot = warp_sum(dot);
        scores[u] = key + u < end ? dot : -INFINITY;
        new_max = fmaxf(new_max, scores[u]);
      }
      const float decay = expf(max - new_max);  // 0 the first time
      max = new_max;
      sum *= decay;
#pragma unroll
      for (int i = 0; i < kPairs; ++i)
        values[i] = make_float2(values[i].x * decay, values[i].y * decay);
#pragma unroll
      for (int u = 0; u < kBatch; ++u) {
        const auto* row = reinterpret_cast<const __half2*>(v + min(key + u, end - 1) * stride);
        const float p = expf(scores[u] - max);
        sum += p;
#pragma unroll
        for (int i = 0; i < kPairs; ++i) {
          const int pair = lane + i * kWarpSize;
          if (pair < n_pairs) {
            const float2 x = __half22float2(row[pair]);
            values[i].x += p * x.x;
            values[i].y += p * x.y;
          }
        }
      }
    }
  }
}

// One block a token, a head and a split of the keys (blockIdx.x, y, z); its warps are merged in
// order.
template <int kPairs>
__global__ __launch_bounds__(kThreads) void attend_split_kernel(float* __restrict__ scratch,
                                                                const float* __restrict__ q,
                                                                const __half* __restrict__ k,
                                                                const __half* __restrict__ v,
                                                                const int* __restrict__ position,
                                                                AttentionShape shape) {
  __shared__ float max_of[kWarps];
  __shared__ float sum_of[kWarps];
  __shared__ float values_of[kWarps][2 * kPairs * kWarpSize];
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  const std::int64_t token = blockIdx.x;
  const int head = blockIdx.y;
  const int head_dim = shape.head_dim;
  const int n_pairs = head_dim / 2;
  const int n_keys = *position + static_cast<int>(token) + 1;
  const int kv_head = head / (shape.n_heads / shape.n_kv_heads);
  const std::int64_t kv_stride = static_cast<std::int64_t>(shape.n_kv_heads) * head_dim;

  const float scale = 1.0f / sqrtf(static_cast<float>(head_dim));
  const auto* q_row =
      reinterpret_cast<const float2*>(q + (token * shape.n_heads + head) * head_dim);
  float2 my_q[kPairs], values[kPairs];
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int pair = lane + i * kWarpSize;
    const float2 x = pair < n_pairs ? q_row[pair] : make_float2(0, 0);
    my_q[i] = make_float2(x.x * scale, x.y * scale);
    values[i] = make_float2(0, 0);
  }
  float max = -INFINITY, sum = 0;
  attend_slices<kPairs>(values, max, sum, my_q, k + kv_head * head_dim, v + kv_head * head_dim,
                        kv_stride, n_pairs, n_keys);

  if (lane == 0) max_of[warp] = max, sum_of[warp] = sum;
#pragma unroll
  for (int i = 0; i < kPairs; ++i) {
    const int pair = lane + i * kWarpSize;
    values_of[warp][2 * pair] = values[i].x;
    values_of[warp][2 * pair + 1] = values[i].y;
  }
  __syncthreads();

  float block_max = -INFINITY;
  for (int w = 0; w < kWarps; ++w) block_max = fmaxf(block_max, max_of[w]);
  float weight[kWarps], block_sum = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    weight[w] = sum_of[w] == 0 ? 0.0f : expf(max_of[w] - block_max);
    block_sum += weight[w] * sum_of[w];
  }
  const Scratch out =
      scratch_of(scratch, token, head, shape.n_heads, blockIdx.z, gridDim.z, head_dim);
  if (threadIdx.x == 0) *out.max = block_max, *out.sum = block_sum;
  for (int i = threadIdx.x; i < head_dim; i += kThreads) {
    float x = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) x += weight[w] * values_of[w][i];
    out.values[i] = x;
  }
}

// One block a token and a head: merges the splits in order. Lane s of each warp knows split s.
__global__ __launch_bounds__(kThreads) void combine_splits_kernel(float* __restrict__ out,
                                                                  float* __restrict__ scratch,
                                                                  int n_splits,
                                                                  int head_dim) {
  __shared__ float weight_of[kAttentionSplits];
  const int lane = threadIdx.x % kWarpSize;
  const std::int64_t token = blockIdx.x;
  const int head = blockIdx.y;
  const int n_heads = gridDim.y;
  const Scratch part =
      scratch_of(scratch, token, head, n_heads, min(lane, n_splits - 1), n_splits, head_dim);
  const float part_sum = lane < n_splits ? *part.sum : 0.0f;
  const float max = warp_max(part_sum == 0 ? -INFINITY : *part.max);
  const float weight = part_sum == 0 ? 0.0f : expf(*part.max - max);
  const float sum = warp_sum(weight * part_sum);
  if (threadIdx.x < kAttentionSplits) weight_of[threadIdx.x] = weight;
  __syncthreads();
  const float* first = scratch_of(scratch, token, head, n_heads, 0, n_splits, head_dim).values;
  for (int i = threadIdx.x; i < head_dim; i += kThreads) {
    float x = 0;
#pragma unroll 8
    for (int s = 0; s < n_splits; ++s)
      x += weight_of[s] * first[static_cast<std::int64_t>(s) * (head_dim + 2) + i];
    out[(token * n_heads + head) * head_dim + i] = x / sum;
  }
}

}  // namespace

std::size_t attention_scratch_size(const AttentionShape& shape) {
  const auto per_split =
      static_cast<std::size_t>(shape.n_heads) * static_cast<std::size_t>(shape.head_dim + 2);
  return static_cast<std::size_t>(shape.n) * per_split *
         static_cast<std::size_t>(attention_splits(shape.n));
}

void attention_decode(float* out,
                      float* scratch,
                      const float* q,
                      const __half* k,
                      const __half* v,
                      const int* position,
                      const AttentionShape& shape,
                      cudaStream_t stream) {
  const int n_splits = attention_splits(shape.n);
  dispatch_head_dim(shape.head_dim, [&](auto pairs) {
    launch(attend_split_kernel<decltype(pairs)::value>, grid_of(shape.n, shape.n_heads, n_splits),
           kThreads, stream, scratch, q, k, v, position, shape);
  });
  launch(combine_splits_kernel, grid_of(shape.n, shape.n_heads), kThreads, stream, out, scratch,
         n_splits, shape.head_dim);
}

}  // namespace haikuda::cuda
