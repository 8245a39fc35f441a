// Attention of many tokens (flash attention, arXiv 2205.14135): a block's queries share the tiles
// of keys that it stages in shared memory. Bound by F32 arithmetic: 4 · n · keys · head_dim
// operations a head.
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/attention.cuh"

namespace haikuda::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kThreads = kWarps * kWarpSize;
constexpr int kTile = kWarpSize;  // keys of a tile: one for each lane

// Rows of a tile are padded by a pair, so that lanes that read the same pair of 32 rows meet 32
// banks.
template <int kPairs>
struct Tile {
  __half2 k[kTile][kPairs * kWarpSize + 1];
  __half2 v[kTile][kPairs * kWarpSize + 1];
};

// Loads keys first … first + kTile - 1; those from n_keys on are zeros.
template <int kPairs>
__device__ void load_tile(Tile<kPairs>& tile,
                          const __half* k,
                          const __half* v,
                          std::int64_t stride,
                          int n_pairs,
                          int first,
                          int n_keys) {
  for (int i = threadIdx.x; i < kTile * n_pairs; i += kThreads) {
    const int row = i / n_pairs;
    const int pair = i - row * n_pairs;
    const std::int64_t offset = (first + row) * stride;
    const bool valid = first + row < n_keys;
    const __half2 zero = __floats2half2_rn(0.0f, 0.0f);
    tile.k[row][pair] = valid ? reinterpret_cast<const __half2*>(k + offset)[pair] : zero;
    tile.v[row][pair] = valid ? reinterpret_cast<const __half2*>(v + offset)[pair] : zero;
  }
}

// One block a tile of queries (blockIdx.x) and a head (blockIdx.y); each warp has kQueries of the
// queries. For scores a lane holds a key of the tile, for values the pairs lane, lane + 32, … of
// the head.
template <int kPairs, int kQueries>
__global__ __launch_bounds__(kThreads) void attend_tiles_kernel(float* __restrict__ out,
                                                                const float* __restrict__ q,
                                                                const __half* __restrict__ k,
                                                                const __half* __restrict__ v,
                                                                const int* __restrict__ position,
                                                                AttentionShape shape) {
  __shared__ Tile<kPairs> tile;
  __shared__ float2 queries[kWarps][kQueries][kPairs * kWarpSize];
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  const int head = blockIdx.y;
  const int n_pairs = shape.head_dim / 2;
  const int kv_head = head / (shape.n_heads / shape.n_kv_heads);
  const std::int64_t kv_stride = static_cast<std::int64_t>(shape.n_kv_heads) * shape.head_dim;
  const int block_token = blockIdx.x * kWarps * kQueries;
  const int first_token = block_token + warp * kQueries;  // of this warp
  const int first_position = *position;
  // Of the block's last query; each query sees its own position + 1.
  const int n_keys = first_position + min(block_token + kWarps * kQueries, shape.n);

  const float scale = 1.0f / sqrtf(static_cast<float>(shape.head_dim));
  float max[kQueries], sum[kQueries];
  float2 values[kQueries][kPairs];
#pragma unroll
  for (int i = 0; i < kQueries; ++i) {
    const std::int64_t token =
        min(first_token + i, shape.n - 1);  // a warp without a query computes one in vain
    const auto* row =
        reinterpret_cast<const float2*>(q + (token * shape.n_heads + head) * shape.head_dim);
    for (int pair = lane; pair < n_pairs; pair += kWarpSize)
      queries[warp][i][pair] = make_float2(row[pair].x * scale, row[pair].y * scale);
    max[i] = -INFINITY;
    sum[i] = 0;
#pragma unroll
    for (int j = 0; j < kPairs; ++j) values[i][j] = make_float2(0, 0);
  }

  for (int first_key = 0; first_key < n_keys; first_key += kTile) {
    __syncthreads();  // the queries are there, and nobody reads the last tile any more
    load_tile<kPairs>(tile, k + kv_head * shape.head_dim, v + kv_head * shape.head_dim, kv_stride,
                      n_pairs, first_key, n_keys);
    __syncthreads();
    float scores[kQueries] = {};
#pragma unroll 4
    for (int pair = 0; pair < n_pairs; ++pair) {
      const float2 key = __half22float2(tile.k[lane][pair]);
#pragma unroll
      for (int i = 0; i < kQueries; ++i) {
        const float2 x = queries[warp][i][pair];
        scores[i] += x.x * key.x + x.y * key.y;
      }
    }
#pragma unroll
    for (int i = 0; i < kQueries; ++i) {  // scores become exp(score - max)
      const int visible = first_position + min(first_token + i, shape.n - 1) + 1;
      if (first_key >= visible) {  // the same for the whole warp; max would stay -infinity
        scores[i] = 0;
        continue;
      }
      const float score = first_key + lane < visible ? scores[i] : -INFINITY;
      const float new_max = fmaxf(max[i], warp_max(score));
      const float decay = expf(max[i] - new_max);  // 0 the first time
      scores[i] = expf(score - new_max);
      max[i] = new_max;
      sum[i] = sum[i] * decay + warp_sum(scores[i]);
#pragma unroll
      for (int j = 0; j < kPairs; ++j)
        values[i][j] = make_float2(values[i][j].x * decay, values[i][j].y * decay);
    }
#pragma unroll 4
    for (int row = 0; row < kTile; ++row) {
      float p[kQueries];
#pragma unroll
      for (int i = 0; i < kQueries; ++i) p[i] = __shfl_sync(kAllLanes, scores[i], row);
#pragma unroll
      for (int j = 0; j < kPairs; ++j) {
        const int pair = lane + j * kWarpSize;
        if (pair >= n_pairs) continue;
        const float2 x = __half22float2(tile.v[row][pair]);
#pragma unroll
        for (int i = 0; i < kQueries; ++i) {
          values[i][j].x += p[i] * x.x;
          values[i][j].y += p[i] * x.y;
        }
      }
    }
  }

#pragma unroll
  for (int i = 0; i < kQueries; ++i) {
    if (first_token + i >= shape.n) break;
    const std::int64_t token = first_token + i;
    auto* row = reinterpret_cast<float2*>(out + (token * shape.n_heads + head) * shape.head_dim);
#pragma unroll
    for (int j = 0; j < kPairs; ++j) {
      const int pair = lane + j * kWarpSize;
      if (pair < n_pairs) row[pair] = make_float2(values[i][j].x / sum[i], values[i][j].y / sum[i]);
    }
  }
}

template <int kPairs, int kQueries>
void attend_tiles(float* out,
                  const float* q,
                  const __half* k,
                  const __half* v,
                  const int* position,
                  const AttentionShape& shape,
                  cudaStream_t stream) {
  launch(attend_tiles_kernel<kPairs, kQueries>,
         grid_of(ceil_div(shape.n, kWarps * kQueries), shape.n_heads), kThreads, stream, out, q, k,
         v, position, shape);
}

}  // namespace

void attention_prefill(float* out,
                       float* scratch,
                       const float* q,
                       const __half* k,
                       const __half* v,
                       const int* position,
                       const AttentionShape& shape,
                       cudaStream_t stream) {
  dispatch_head_dim(shape.head_dim, [&](auto pairs) {
    constexpr int kPairs = decltype(pairs)::value;
    if constexpr (kPairs <= 2)
      attend_tiles<kPairs, 4>(out, q, k, v, position, shape, stream);
    else if constexpr (kPairs == 4)
      attend_tiles<kPairs, 2>(out, q, k, v, position, shape, stream);
    else
      attention_decode(out, scratch, q, k, v, position, shape, stream);
  });
}

}  // namespace haikuda::cuda
