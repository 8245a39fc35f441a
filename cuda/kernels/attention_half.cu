// Attention of many tokens on the matrix units (flash attention 2, arXiv 2307.08691): half
// products, F32 sums and softmax. Bound by the matrix units, then by the reads of tiles from shared
// memory: 4 · keys · head_dim operations a query head of a token.
#include "cuda/device/async.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kWarpRows = 16;  // of queries: one row of tiles of the matrix units
constexpr float kLog2E = 1.44269504f;

// kDim: head_dim rounded up, the rest being zeros.
template <int kDim>
struct Tile {
  static constexpr int kKeys = kDim <= 128 ? 64 : 32;
  static constexpr int kChunks = kDim / 8;  // of 16 bytes, in a row
  static constexpr int kBytes = kKeys * kDim * 2;
  // Both stages of K, then both of V.
  static constexpr std::size_t kSharedBytes = 4 * kBytes;
};

// Blocks of a multiprocessor that registers allow without spilling.
template <int kDim, int kWarps>
constexpr int kResident = kDim <= 64                   ? (kWarps == 8 ? 2 : 3)
                          : kDim <= 128 && kWarps == 4 ? 2
                                                       : 1;

// Where a chunk of a row is in a tile: exchanged within 8 chunks, so that neighbouring rows of one
// chunk lie in different banks.
template <int kDim>
__device__ int chunk_at(int row, int chunk) {
  return (row * Tile<kDim>::kChunks + (chunk ^ (row & 7))) * 16;
}

// Asks for keys first … first + kKeys - 1 of K and V; those from n_keys on are zeros, and so are
// the elements from head_dim on.
template <int kDim, int kThreads>
__device__ void load_tile(std::uint8_t* k_tile,
                          std::uint8_t* v_tile,
                          const __half* k,
                          const __half* v,
                          std::int64_t stride,
                          int first,
                          int n_keys,
                          int head_dim) {
  using T = Tile<kDim>;
  static_assert(T::kKeys * T::kChunks % kThreads == 0);
#pragma unroll
  for (int j = 0; j < T::kKeys * T::kChunks / kThreads; ++j) {
    const int i = static_cast<int>(threadIdx.x) + j * kThreads;
    const int row = i / T::kChunks, chunk = i % T::kChunks;
    const bool is_there = first + row < n_keys && 8 * chunk < head_dim;
    const std::int64_t from = is_there ? (first + row) * stride + 8 * chunk : 0;
    copy_async_16_or_zeros(k_tile + chunk_at<kDim>(row, chunk), k + from, is_there);
    copy_async_16_or_zeros(v_tile + chunk_at<kDim>(row, chunk), v + from, is_there);
  }
  commit_copies();
}

// scores (16, kKeys) = q · kᵀ
template <int kDim>
__device__ void multiply_keys(float (&scores)[Tile<kDim>::kKeys / 8][4],
                              const std::uint32_t (&q)[kDim / 16][4],
                              const std::uint8_t* k_tile,
                              int lane) {
#pragma unroll
  for (int n = 0; n < Tile<kDim>::kKeys / 8; ++n)
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[n][i] = 0;
  // Tiles: keys 0-7 of elements 0-7 and of 8-15, then keys 8-15.
  const int key = lane / 16 * 8 + lane % 8, chunk = lane / 8 % 2;
#pragma unroll
  for (int d = 0; d < kDim / 16; ++d)
#pragma unroll
    for (int n = 0; n < Tile<kDim>::kKeys / 16; ++n) {
      std::uint32_t b[4];
      load_tiles(b, k_tile + chunk_at<kDim>(16 * n + key, 2 * d + chunk));
      multiply_add(scores[2 * n], q[d], b[0], b[1]);
      multiply_add(scores[2 * n + 1], q[d], b[2], b[3]);
    }
}

// values (16, kDim) += weights (16, kKeys) · v
template <int kDim>
__device__ void multiply_values(float (&values)[kDim / 8][4],
                                const float (&weights)[Tile<kDim>::kKeys / 8][4],
                                const std::uint8_t* v_tile,
                                int lane) {
  // Tiles: keys 0-7 and 8-15 of elements 0-7, then of 8-15.
  const int key = lane % 16, chunk = lane / 16;
#pragma unroll
  for (int n = 0; n < Tile<kDim>::kKeys / 16; ++n) {
    const float(&low)[4] = weights[2 * n], (&high)[4] = weights[2 * n + 1];
    const std::uint32_t a[4] = {pack_halves(low[0], low[1]), pack_halves(low[2], low[3]),
                                pack_halves(high[0], high[1]), pack_halves(high[2], high[3])};
#pragma unroll
    for (int d = 0; d < kDim / 16; ++d) {
      std::uint32_t b[4];
      load_tiles_transposed(b, v_tile + chunk_at<kDim>(16 * n + key, 2 * d + chunk));
      multiply_add(values[2 * d], a, b[0], b[1]);
      multiply_add(values[2 * d + 1], a, b[2], b[3]);
    }
  }
}

// One of a lane's two rows of queries.
struct Row {
  std::int64_t at;  // of its first element in q and out
  int n_visible;    // keys
  float scale;      // of its scores, as exponents of 2
  float max = -INFINITY, sum = 0;
};

// scores become exp(score - max) of all keys that the rows see; `values` follows the new maximum.
// The first tile has a key that every row sees, so that max is a number from then on.
template <int kDim>
__device__ void soften(float (&scores)[Tile<kDim>::kKeys / 8][4],
                       float (&values)[kDim / 8][4],
                       Row (&rows)[2]) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    Row& row = rows[i];
    float max = row.max;
#pragma unroll
    for (int n = 0; n < Tile<kDim>::kKeys / 8; ++n)
      max = fmaxf(max, fmaxf(scores[n][2 * i], scores[n][2 * i + 1]));
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 1));  // four lanes share a row
    max = fmaxf(max, __shfl_xor_sync(kAllLanes, max, 2));
    const float decay = fast_exp2((row.max - max) * row.scale);  // 0 the first time
    const float shift = max * row.scale;
    row.max = max;
    row.sum *= decay;
#pragma unroll
    for (int n = 0; n < Tile<kDim>::kKeys / 8; ++n)
#pragma unroll
      for (int j = 2 * i; j < 2 * i + 2; ++j) {
        scores[n][j] = fast_exp2(fmaf(scores[n][j], row.scale, -shift));
        row.sum += scores[n][j];
      }
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) values[d][2 * i] *= decay, values[d][2 * i + 1] *= decay;
  }
}

// One block a KV head (blockIdx.x) and kWarps · 16 rows of queries (blockIdx.y, the last ones
// first: they see most keys), where a row is a token and one of the heads of the group that shares
// the KV head: row r is head r % group of token r / group.
template <int kDim, int kWarps>
__global__ __launch_bounds__(kWarps* kWarpSize, (kResident<kDim, kWarps>)) void attend_half_kernel(
    __half* out,
    const __half* q,
    const float* q_scale,
    const __half* __restrict__ k,
    const __half* __restrict__ v,
    const int* __restrict__ position,
    AttentionShape shape) {
  using T = Tile<kDim>;
  constexpr int kThreads = kWarps * kWarpSize;
  std::uint8_t *k_tiles = dynamic_shared(), *v_tiles = k_tiles + 2 * T::kBytes;
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  const int head_dim = shape.head_dim;
  const int group = shape.n_heads / shape.n_kv_heads;
  const int kv_head = blockIdx.x;
  const int n_rows = shape.n * group;
  const int block_row = static_cast<int>(gridDim.y - 1 - blockIdx.y) * kWarps * kWarpRows;
  const int first_position = *position;
  const int n_keys =
      first_position + min(block_row + kWarps * kWarpRows - 1, n_rows - 1) / group + 1;
  const int n_seen_by_all = first_position + block_row / group + 1;
  const std::int64_t kv_stride = static_cast<std::int64_t>(shape.n_kv_heads) * head_dim;
  k += kv_head * head_dim;
  v += kv_head * head_dim;
  const auto load = [&](int tile) {
    load_tile<kDim, kThreads>(k_tiles + tile % 2 * T::kBytes, v_tiles + tile % 2 * T::kBytes, k, v,
                              kv_stride, tile * T::kKeys, n_keys, head_dim);
  };
  load(0);

  const float scale = kLog2E / sqrtf(static_cast<float>(head_dim));
  Row rows[2];
  std::uint32_t queries[kDim / 16][4];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    // Rows beyond the last compute it in vain.
    const int row = min(block_row + warp * kWarpRows + lane / 4 + 8 * i, n_rows - 1);
    const int token = row / group, head = kv_head * group + row % group;
    const std::int64_t query = static_cast<std::int64_t>(token) * shape.n_heads + head;
    rows[i].at = query * head_dim;
    rows[i].n_visible = first_position + token + 1;
    rows[i].scale = scale * q_scale[query];
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      const int element = 8 * d + lane % 4 * 2;
      queries[d / 2][d % 2 * 2 + i] =
          element < head_dim ? *reinterpret_cast<const std::uint32_t*>(q + rows[i].at + element)
                             : 0;
    }
  }
  float values[kDim / 8][4];
#pragma unroll
  for (int d = 0; d < kDim / 8; ++d)
#pragma unroll
    for (int i = 0; i < 4; ++i) values[d][i] = 0;

  const int n_tiles = (n_keys + T::kKeys - 1) / T::kKeys;
  for (int tile = 0; tile < n_tiles; ++tile) {
    wait_for_copies<0>();
    __syncthreads();  // the tile is there for all, and nobody reads the other stage any more
    if (tile + 1 < n_tiles) load(tile + 1);
    float scores[T::kKeys / 8][4];
    multiply_keys<kDim>(scores, queries, k_tiles + tile % 2 * T::kBytes, lane);
    if ((tile + 1) * T::kKeys > n_seen_by_all) {
      const int first = tile * T::kKeys + lane % 4 * 2;
#pragma unroll
      for (int n = 0; n < T::kKeys / 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i)
          if (first + 8 * n + i % 2 >= rows[i / 2].n_visible) scores[n][i] = -INFINITY;
    }
    soften<kDim>(scores, values, rows);
    multiply_values<kDim>(values, scores, v_tiles + tile % 2 * T::kBytes, lane);
  }

#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float sum = rows[i].sum;
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const float factor = 1.0f / sum;
    if (block_row + warp * kWarpRows + lane / 4 + 8 * i >= n_rows) continue;
#pragma unroll
    for (int d = 0; d < kDim / 8; ++d) {
      const int element = 8 * d + lane % 4 * 2;
      if (element < head_dim)
        *reinterpret_cast<std::uint32_t*>(out + rows[i].at + element) =
            pack_halves(values[d][2 * i] * factor, values[d][2 * i + 1] * factor);
    }
  }
}

template <int kDim, int kWarps>
void attend_half(__half* out,
                 const HalfQueries& q,
                 const __half* k,
                 const __half* v,
                 const int* position,
                 const AttentionShape& shape,
                 cudaStream_t stream) {
  const std::int64_t n_rows = std::int64_t{shape.n} * (shape.n_heads / shape.n_kv_heads);
  launch_shared(attend_half_kernel<kDim, kWarps>,
                grid_of(shape.n_kv_heads, ceil_div(n_rows, kWarps * kWarpRows)), kWarps * kWarpSize,
                Tile<kDim>::kSharedBytes, stream, out, q.rows, q.scale, k, v, position, shape);
}

}  // namespace

bool takes_attention_half(int head_dim) {
  return head_dim % 8 == 0 && head_dim <= 256;
}

void attention_half(__half* out,
                    const HalfQueries& q,
                    const __half* k,
                    const __half* v,
                    const int* position,
                    const AttentionShape& shape,
                    cudaStream_t stream) {
  HAIKUDA_CHECK(takes_attention_half(shape.head_dim) && shape.n_heads % shape.n_kv_heads == 0);
  // Eight warps read the tiles half as often; four fill the GPU with fewer tokens.
  const std::int64_t n_rows = std::int64_t{shape.n} * shape.n_heads;
  const bool is_large =
      n_rows >= std::int64_t{8} * kWarpRows * device_attribute(cudaDevAttrMultiProcessorCount);
  const auto run = [&](auto large, auto small) {
    (is_large ? large : small)(out, q, k, v, position, shape, stream);
  };
  if (shape.head_dim <= 64) return run(attend_half<64, 8>, attend_half<64, 4>);
  if (shape.head_dim <= 128) return run(attend_half<128, 8>, attend_half<128, 4>);
  run(attend_half<256, 8>, attend_half<256, 4>);
}

}  // namespace haikuda::cuda
