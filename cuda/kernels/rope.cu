// The table of angles, and what lies between the projections and attention: bias, norm of heads,
// rotation, cache. Bound by latency at one token, by memory at many.
#include "cuda/device/half_range.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/attention.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kTableThreads = 256;
constexpr int kHeadThreads = 128;

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

// Where projections lie and where q goes: in place, or to q_half.
struct QkvRows {
  float* q;
  const float *k, *v;
  std::int64_t q_stride, kv_stride;  // elements from token to token
  __half* q_half;                    // (n, n_heads, head_dim) or null
  float* q_scale;                    // (n, n_heads)
};

// The places of the two elements that pair `pair` of a head turns; pairs behind the rotated
// dimensions are neighbours that stay.
__device__ int2 elements_of(int pair, int n_dims, RopeStyle style) {
  const bool is_apart = style == RopeStyle::neox && 2 * pair < n_dims;
  return is_apart ? make_int2(pair, pair + n_dims / 2) : make_int2(2 * pair, 2 * pair + 1);
}

// One warp a head of a token: heads of q, then of k, then of v. A lane has the pairs lane,
// lane + 32, … of the head in registers.
template <int kPairs>
__global__ __launch_bounds__(kHeadThreads) void finish_qkv_kernel(QkvRows rows,
                                                                  __half* __restrict__ k_cache,
                                                                  __half* __restrict__ v_cache,
                                                                  const int* __restrict__ position,
                                                                  QkvVectors vectors,
                                                                  QkvShape shape) {
  const int lane = threadIdx.x % kWarpSize;
  const int head_dim = shape.head_dim, n_pairs = head_dim / 2;
  const int n_slots = shape.n_heads + 2 * shape.n_kv_heads;
  const int warp = static_cast<int>(blockIdx.x) * (kHeadThreads / kWarpSize) +
                   static_cast<int>(threadIdx.x) / kWarpSize;
  if (warp >= shape.n * n_slots) return;  // the whole warp; the kernel has no barrier
  const int token = warp / n_slots, slot = warp - token * n_slots;
  const bool is_q = slot < shape.n_heads;
  const bool is_k = !is_q && slot < shape.n_heads + shape.n_kv_heads;
  const int index = is_q   ? slot  // of the head among its kind
                    : is_k ? slot - shape.n_heads
                           : slot - shape.n_heads - shape.n_kv_heads;
  const int first = index * head_dim;
  const std::int64_t step_at =
      static_cast<std::int64_t>(token) * (is_q ? shape.n_heads : shape.n_kv_heads) * head_dim +
      first;
  const float* in =
      is_q ? rows.q + token * rows.q_stride : (is_k ? rows.k : rows.v) + token * rows.kv_stride;
  const float* bias = is_q ? vectors.q_bias : is_k ? vectors.k_bias : vectors.v_bias;
  const float* norm = is_q ? vectors.q_norm : is_k ? vectors.k_norm : nullptr;
  float* step = is_q ? vectors.steps.q : is_k ? vectors.steps.k : vectors.steps.v;

  float2 x[kPairs];
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int pair = lane + j * kWarpSize;
    x[j] = make_float2(0, 0);
    if (pair >= n_pairs) continue;
    const int2 at = elements_of(pair, shape.n_dims, shape.style);
    x[j] = make_float2(in[first + at.x], in[first + at.y]);
    if (bias != nullptr) x[j].x += bias[first + at.x], x[j].y += bias[first + at.y];
    sum += x[j].x * x[j].x + x[j].y * x[j].y;
    if (step != nullptr) step[step_at + at.x] = x[j].x, step[step_at + at.y] = x[j].y;
  }
  if (norm != nullptr) {
    const float scale = 1.0f / sqrtf(warp_sum(sum) / static_cast<float>(head_dim) + shape.eps);
    float* norm_step = is_q ? vectors.steps.q_norm : vectors.steps.k_norm;
#pragma unroll
    for (int j = 0; j < kPairs; ++j) {
      const int pair = lane + j * kWarpSize;
      if (pair >= n_pairs) continue;
      const int2 at = elements_of(pair, shape.n_dims, shape.style);
      x[j].x *= scale * norm[at.x], x[j].y *= scale * norm[at.y];
      if (norm_step != nullptr)
        norm_step[step_at + at.x] = x[j].x, norm_step[step_at + at.y] = x[j].y;
    }
  }

  const std::int64_t row = *position + token;
  const auto* cos_sin = reinterpret_cast<const float2*>(vectors.cos_sin) + row * (shape.n_dims / 2);
  float magnitude = 0;
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int pair = lane + j * kWarpSize;
    if ((is_q || is_k) && 2 * pair < shape.n_dims) {
      const float2 turn = cos_sin[pair];
      x[j] = make_float2(x[j].x * turn.x - x[j].y * turn.y, x[j].x * turn.y + x[j].y * turn.x);
    }
    magnitude = fmaxf(magnitude, fmaxf(fabsf(x[j].x), fabsf(x[j].y)));
  }
  const bool as_half = !is_q || rows.q_half != nullptr;
  float factor = 1;
  __half* half_out = (is_k ? k_cache : v_cache) + (row * shape.n_kv_heads + index) * head_dim;
  if (is_q && as_half) {
    const int e = half_exponent(warp_max(magnitude));
    factor = power_of_two(e);
    half_out = rows.q_half + step_at;
    if (lane == 0) rows.q_scale[token * shape.n_heads + index] = power_of_two(-e);
  }
#pragma unroll
  for (int j = 0; j < kPairs; ++j) {
    const int pair = lane + j * kWarpSize;
    if (pair >= n_pairs) continue;
    const int2 at = elements_of(pair, shape.n_dims, shape.style);
    if (as_half) {
      half_out[at.x] = __float2half_rn(x[j].x * factor);
      half_out[at.y] = __float2half_rn(x[j].y * factor);
    } else {
      float* out = rows.q + token * rows.q_stride + first;
      out[at.x] = x[j].x, out[at.y] = x[j].y;
    }
  }
}

void run_finish_qkv(const QkvRows& rows,
                    __half* k_cache,
                    __half* v_cache,
                    const int* position,
                    const QkvVectors& vectors,
                    const QkvShape& shape,
                    cudaStream_t stream) {
  HAIKUDA_CHECK(shape.n_dims % 2 == 0 && shape.n_dims <= shape.head_dim);
  dispatch_head_dim(shape.head_dim, [&](auto pairs) {
    const std::int64_t n_heads = shape.n_heads + 2 * std::int64_t{shape.n_kv_heads};
    launch(finish_qkv_kernel<decltype(pairs)::value>,
           grid_of(ceil_div(shape.n * n_heads, kHeadThreads / kWarpSize)), kHeadThreads, stream,
           rows, k_cache, v_cache, position, vectors, shape);
  });
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
  const QkvRows rows{.q = q,
                     .k = k,
                     .v = v,
                     .q_stride = std::int64_t{shape.n_heads} * shape.head_dim,
                     .kv_stride = std::int64_t{shape.n_kv_heads} * shape.head_dim,
                     .q_half = nullptr,
                     .q_scale = nullptr};
  run_finish_qkv(rows, k_cache, v_cache, position, vectors, shape, stream);
}

void finish_qkv_half(const HalfQueries& q,
                     __half* k_cache,
                     __half* v_cache,
                     const float* qkv,
                     const int* position,
                     const QkvVectors& vectors,
                     const QkvShape& shape,
                     cudaStream_t stream) {
  const std::int64_t q_size = std::int64_t{shape.n_heads} * shape.head_dim;
  const std::int64_t kv_size = std::int64_t{shape.n_kv_heads} * shape.head_dim;
  const QkvRows rows{.q = const_cast<float*>(qkv),  // only read, since q goes to q_half
                     .k = qkv + q_size,
                     .v = qkv + q_size + kv_size,
                     .q_stride = q_size + 2 * kv_size,
                     .kv_stride = q_size + 2 * kv_size,
                     .q_half = q.rows,
                     .q_scale = q.scale};
  run_finish_qkv(rows, k_cache, v_cache, position, vectors, shape, stream);
}

}  // namespace haikuda::cuda
