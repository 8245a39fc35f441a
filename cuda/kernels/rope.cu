// The table of angles, and what lies between the projections and attention: bias, norm of heads,
// rotation, cache. Bound by latency at one token, by memory at many.
#include "cuda/device/load.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kTableThreads = 256;
constexpr int kHeadThreads = 64;
constexpr int kMaxHeadDim = 1024;  // as model/config.cpp allows

// One thread a pair of a position.
__global__ __launch_bounds__(kTableThreads) void rope_table_kernel(
    float2* __restrict__ cos_sin,
    const double* __restrict__ radians,
    double magnitude,
    std::int64_t size,
    int n_pairs) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kTableThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kTableThreads + threadIdx.x;
       i < size; i += step) {
    const std::int64_t position = i / n_pairs;
    const double angle = static_cast<double>(position) * radians[i - position * n_pairs];
    cos_sin[i] = make_float2(static_cast<float>(cos(angle) * magnitude),
                             static_cast<float>(sin(angle) * magnitude));
  }
}

// Element i of a head after rotation; elements from n_dims on stay.
__device__ float rotated(
    const float* head, const float2* cos_sin, int i, int n_dims, RopeStyle style) {
  if (i >= n_dims) return head[i];
  const int n_pairs = n_dims / 2;
  const bool neox = style == RopeStyle::neox;
  const int pair = neox ? i % n_pairs : i / 2;
  const bool is_first = neox ? i < n_pairs : i % 2 == 0;
  const float a = head[neox ? pair : 2 * pair];
  const float b = head[neox ? pair + n_pairs : 2 * pair + 1];
  const float2 turn = cos_sin[pair];
  return is_first ? a * turn.x - b * turn.y : a * turn.y + b * turn.x;
}

// One block a token (blockIdx.x) and a head (blockIdx.y): first those of q, then of k, then of v.
// kKeepSteps: vectors.steps are written.
template <bool kKeepSteps>
__global__ __launch_bounds__(kHeadThreads) void finish_qkv_kernel(float* q,
                                                                  __half* __restrict__ k_cache,
                                                                  __half* __restrict__ v_cache,
                                                                  const float* k,
                                                                  const float* v,
                                                                  const int* __restrict__ position,
                                                                  QkvVectors vectors,
                                                                  QkvShape shape) {
  __shared__ float head[kMaxHeadDim];
  const int head_dim = shape.head_dim;
  const std::int64_t token = blockIdx.x;
  const int slot = blockIdx.y;
  const bool is_q = slot < shape.n_heads;
  const bool is_k = !is_q && slot < shape.n_heads + shape.n_kv_heads;
  const int index =
      is_q ? slot : (slot - shape.n_heads) % shape.n_kv_heads;  // of the head among its kind
  const int n_of_kind = is_q ? shape.n_heads : shape.n_kv_heads;
  const std::int64_t offset = (token * n_of_kind + index) * head_dim;
  const float* in = (is_q ? q : is_k ? k : v) + offset;
  const float* bias = is_q ? vectors.q_bias : is_k ? vectors.k_bias : vectors.v_bias;
  const float* norm = is_q ? vectors.q_norm : is_k ? vectors.k_norm : nullptr;

  float sum = 0;
  for (int i = threadIdx.x; i < head_dim; i += kHeadThreads) {
    const float x = bias == nullptr ? in[i] : in[i] + bias[index * head_dim + i];
    head[i] = x;
    sum += x * x;
    if constexpr (kKeepSteps)
      (is_q ? vectors.steps.q : is_k ? vectors.steps.k : vectors.steps.v)[offset + i] = x;
  }
  if (norm != nullptr) {  // the same for the whole block
    sum = block_sum<kHeadThreads>(sum);
    const float scale = 1.0f / sqrtf(sum / static_cast<float>(head_dim) + shape.eps);
    for (int i = threadIdx.x; i < head_dim; i += kHeadThreads) {
      head[i] *= scale * norm[i];
      if constexpr (kKeepSteps)
        (is_q ? vectors.steps.q_norm : vectors.steps.k_norm)[offset + i] = head[i];
    }
  }
  __syncthreads();  // a rotation reads elements of other threads

  const std::int64_t at = *position + token;
  const auto* cos_sin = reinterpret_cast<const float2*>(vectors.cos_sin) + at * (shape.n_dims / 2);
  const std::int64_t cache_offset = (at * shape.n_kv_heads + index) * head_dim;
  for (int i = threadIdx.x; i < head_dim; i += kHeadThreads) {
    const float x = is_q || is_k ? rotated(head, cos_sin, i, shape.n_dims, shape.style) : head[i];
    if (is_q)
      q[offset + i] = x;
    else
      (is_k ? k_cache : v_cache)[cache_offset + i] = __float2half_rn(x);
  }
}

}  // namespace

void rope_table(float* cos_sin,
                const double* radians,
                double magnitude,
                int n_positions,
                int n_pairs,
                cudaStream_t stream) {
  const std::int64_t size = static_cast<std::int64_t>(n_positions) * n_pairs;
  launch(rope_table_kernel, grid_for(size, kTableThreads), kTableThreads, stream,
         reinterpret_cast<float2*>(cos_sin), radians, magnitude, size, n_pairs);
}

void finish_qkv(float* q,
                __half* k_cache,
                __half* v_cache,
                const float* k,
                const float* v,
                const int* position,
                const QkvVectors& vectors,
                const QkvShape& shape,
                cudaStream_t stream) {
  HAIKUDA_CHECK(shape.head_dim <= kMaxHeadDim && shape.n_dims % 2 == 0 &&
                shape.n_dims <= shape.head_dim);
  const auto kernel =
      vectors.steps.q != nullptr ? finish_qkv_kernel<true> : finish_qkv_kernel<false>;
  launch(kernel, grid_of(shape.n, shape.n_heads + 2 * shape.n_kv_heads), kHeadThreads, stream, q,
         k_cache, v_cache, k, v, position, vectors, shape);
}

}  // namespace haikuda::cuda
