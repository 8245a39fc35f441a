// Which rows a block of a fused matrix-vector product takes, and what becomes of its sums.
#pragma once

#include "cuda/device/async.cuh"
#include "cuda/device/int8.cuh"
#include "cuda/kernels/argmax.cuh"
#include "cuda/kernels/gemv_params.h"

namespace haikuda::cuda {

struct RowPlace {
  int matrix;
  std::int64_t row;
};
__device__ inline RowPlace place_of(const GemvParams& params, int row) {
  if (params.output == GemvOutput::gate_up) return {row & 1, row >> 1};
  const int matrix = (row >= params.matrices[1].first_row) + (row >= params.matrices[2].first_row);
  return {matrix, row - params.matrices[matrix].first_row};
}

// The row of all that is row `local` of the block's.
__device__ inline std::int64_t global_row(const GemvParams& params, int block, int local) {
  const int tile = local >> params.tile_rows_log2;
  const int in_tile = local & ((1 << params.tile_rows_log2) - 1);
  return ((static_cast<std::int64_t>(tile) * params.n_blocks + block) << params.tile_rows_log2) +
         in_tile;
}

// The part of a warp.
struct GemvBlock {
  int index;
  int n_local;        // rows of the block, counting those beyond n_rows
  int slots;          // groups of warps, each of which takes its own rows
  int first_local;    // in steps of one row a stream: the warp's group
  int warps_per_row;  // warps of a group
  int first_chunk;    // the warp in its group
  int n_chunks;

  __device__ GemvBlock(
      const GemvParams& params, int block, int warp, int n_warps, int chunks, int n_streams)
      : index(block),
        slots(n_warps >> params.warps_per_row_log2),
        first_local(warp >> params.warps_per_row_log2),
        warps_per_row(1 << params.warps_per_row_log2),
        first_chunk(warp & ((1 << params.warps_per_row_log2) - 1)),
        n_chunks(chunks) {
    const int n_tiles = (params.n_rows - 1 >> params.tile_rows_log2) + 1;
    n_local = (n_tiles - block + params.n_blocks - 1) / params.n_blocks << params.tile_rows_log2;
  }
};

// The sum of squares of x, gathered warp by warp; complete after the block's next barrier.
class RmsSum {
 public:
  __device__ RmsSum(const GemvParams& params, float squares) {
    if (params.gamma == nullptr) return;
    squares = warp_sum(squares);
    if (threadIdx.x % kWarpSize == 0) of_warp()[threadIdx.x / kWarpSize] = squares;
  }
  // 1 / rms(x), or 1 without a norm.
  __device__ float factor(const GemvParams& params) const {
    if (params.gamma == nullptr) return 1;
    float sum = 0;
    for (int warp = 0; warp < static_cast<int>(blockDim.x) / kWarpSize; ++warp)
      sum += of_warp()[warp];
    return 1.0f / sqrtf(sum / static_cast<float>(params.cols) + params.eps);
  }

 private:
  static __device__ float* of_warp() {
    __shared__ float sums[kWarpSize];
    return sums;
  }
};

// What the thread's first row needs at the end, asked for before the products.
__device__ inline float early_value(const GemvParams& params, const GemvBlock& block) {
  const int local = static_cast<int>(threadIdx.x);
  const std::int64_t row = global_row(params, block.index, local);
  if (params.output == GemvOutput::gate_up || params.output == GemvOutput::logits ||
      local >= block.n_local || row >= params.n_rows)
    return 0;
  const RowPlace place = place_of(params, static_cast<int>(row));
  const GemvMatrix& matrix = params.matrices[place.matrix];
  if (params.output == GemvOutput::add) return load_activation(matrix.out + place.row);
  return matrix.bias == nullptr ? 0 : matrix.bias[place.row];
}

__device__ inline void finish_linear(const GemvParams& params,
                                     const GemvBlock& block,
                                     const float* sums,
                                     float factor,
                                     float early) {
  for (int local = threadIdx.x; local < block.n_local; local += blockDim.x) {
    const std::int64_t row = global_row(params, block.index, local);
    if (row >= params.n_rows) continue;
    const RowPlace place = place_of(params, static_cast<int>(row));
    const GemvMatrix& matrix = params.matrices[place.matrix];
    float other = early;
    if (local >= static_cast<int>(blockDim.x)) {
      if (params.output == GemvOutput::add)
        other = load_activation(matrix.out + place.row);
      else
        other = matrix.bias == nullptr ? 0 : matrix.bias[place.row];
    }
    matrix.out[place.row] = other + sum_of_parts(sums, block.warps_per_row, local) * factor;
  }
}

__device__ inline void finish_logits(const GemvParams& params,
                                     const GemvBlock& block,
                                     const float* sums,
                                     float factor) {
  ArgmaxResult best = no_value();
  for (int local = threadIdx.x; local < block.n_local; local += blockDim.x) {
    const std::int64_t row = global_row(params, block.index, local);
    if (row >= params.n_rows) continue;
    const float logit = sum_of_parts(sums, block.warps_per_row, local) * factor;
    params.matrices[0].out[row] = logit;
    best = merged(best, logit, static_cast<int>(row));
  }
  best = block_argmax(best);
  if (threadIdx.x == 0) params.partial[block.index] = best;
}

// A warp of 32 neighbouring values: one block of integers.
__device__ inline void store_quantized(const GemvParams& params, int at, float value) {
  const IntegerScale d = integer_scale(group_max<kWarpSize>(magnitude_bits(value)));
  const int q = to_integer(value, d.inverse);
  const int sum = group_sum<kWarpSize / 2>(q);
  const int other = __shfl_xor_sync(kAllLanes, sum, kWarpSize / 2);
  const int n = params.n_rows / 2;
#pragma unroll
  for (int p = 0; p < kActivationPlanes; ++p)
    params.out_quants[static_cast<std::int64_t>(p) * n + at] =
        static_cast<std::int8_t>(plane_byte(q, p));
  if (at % 32 == 0)
    params.out_blocks[at / 32] = {d.scale, d.scale * static_cast<float>(sum),
                                  d.scale * static_cast<float>(other)};
}

__device__ inline void finish_gate_up(const GemvParams& params,
                                      const GemvBlock& block,
                                      const float* sums,
                                      float factor) {
  for (int pair = threadIdx.x; pair < block.n_local / 2; pair += blockDim.x) {
    const std::int64_t row = global_row(params, block.index, 2 * pair);
    if (row >= params.n_rows) continue;  // a warp as a whole where it quantizes
    const float gate = sum_of_parts(sums, block.warps_per_row, 2 * pair) * factor;
    const float up = sum_of_parts(sums, block.warps_per_row, 2 * pair + 1) * factor;
    const float act = gate / (1.0f + expf(-gate)) * up;
    const int at = static_cast<int>(row >> 1);
    if (params.out_quants == nullptr)
      params.matrices[0].out[at] = act;
    else
      store_quantized(params, at, act);
  }
}

// All threads of the block, after the barrier behind the last of `sums`.
__device__ inline void finish_rows(const GemvParams& params,
                                   const GemvBlock& block,
                                   const float* sums,
                                   float factor,
                                   float early) {
  switch (params.output) {
    case GemvOutput::store:
    case GemvOutput::add:
      return finish_linear(params, block, sums, factor, early);
    case GemvOutput::gate_up:
      return finish_gate_up(params, block, sums, factor);
    case GemvOutput::logits:
      return finish_logits(params, block, sums, factor);
  }
}

}  // namespace haikuda::cuda
