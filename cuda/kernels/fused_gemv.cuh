// The frame of all matrix-vector products of decoding. A block first lets its successor start and
// asks for its first weights, which depend on nothing; then it waits for its predecessor, puts x
// into shared memory, and multiplies row by row, its warps' copies running ahead through a ring of
// their own. What becomes of the sums is decided at the end, for all rows of the block at once.
// Included by fused_gemv_*.cu alone.
//
// Rows are counted through all matrices: those of gate and up alternate, others follow each other.
// A block takes tiles of neighbouring rows, n_blocks tiles apart; row `local` of a block is row
// local % tile_rows of its tile local / tile_rows.
#pragma once

#include "cuda/device/dots.cuh"
#include "cuda/gemv_plan.h"
#include "cuda/kernels/fused_gemv_finish.cuh"

namespace haikuda::cuda {

// ---- shared memory of a block, in this order

template <class Dot>
constexpr int kStreamBytes = kMainBytes + (Dot::kSideBytes.of_plane[0] + 15) / 16 * 16 +
                             (Dot::kSideBytes.of_plane[1] + 15) / 16 * 16 +
                             (Dot::kSideBytes.of_plane[2] + 15) / 16 * 16;

template <class Dot, int kStreams>
struct GemvShared {
  static constexpr int kStages = kStreams == 1 ? kStagesOfOneRow : kStagesOfTwoRows;
  static constexpr int kStageBytes = kStreams * kStreamBytes<Dot>;
  static constexpr int kRingBytes = kStages * kStageBytes;  // of a warp

  std::size_t x, scales, sums, bytes;  // offsets; the rings come first
  int n_slots;

  __host__ __device__ GemvShared(int n_warps, int cols, int n_sums) {
    n_slots = n_x_slots(Dot::kOrder, cols / (Dot::kIntegers ? 16 : 4));
    x = static_cast<std::size_t>(n_warps) * kRingBytes;
    scales = x + std::size_t{16} * (Dot::kIntegers ? kActivationPlanes : 1) *
                     static_cast<std::size_t>(n_slots);
    const std::size_t n_scales = !Dot::kIntegers     ? 0
                                 : Dot::kScalesPer16 ? static_cast<std::size_t>(n_slots)
                                                     : static_cast<std::size_t>(cols) / 32;
    sums = scales + n_scales * sizeof(XScale);
    bytes = sums + static_cast<std::size_t>(n_sums) * sizeof(float);
  }
};

// ---- the copies of a warp

// Walks over the chunks of the warp's rows and copies one after the other.
template <class Dot, int kStreams>
class WeightFeed {
 public:
  __device__ WeightFeed(const GemvParams& params, const GemvBlock& block, int n_units)
      : params_(params),
        block_(block),
        n_units_(n_units),
        chunk_(block.first_chunk),
        local_(block.first_local * kStreams),
        lane_(threadIdx.x % kWarpSize) {
    constexpr int k0 = (Dot::kSideBytes.of_plane[0] + 15) / 16;
    constexpr int k1 = (Dot::kSideBytes.of_plane[1] + 15) / 16;
    constexpr int k2 = (Dot::kSideBytes.of_plane[2] + 15) / 16;
    static_assert(k0 + k1 + k2 <= kWarpSize);
    side_plane_ = lane_ < k0 ? 1 : lane_ < k0 + k1 ? 2 : lane_ < k0 + k1 + k2 ? 3 : 0;
    if (side_plane_ != 0) {
      constexpr SideBytes kSteps = Dot::kSideBytes;
      constexpr int kStep0 = kSteps.of_plane[0], kStep1 = kSteps.of_plane[1],
                    kStep2 = kSteps.of_plane[2];
      side_step_ = side_plane_ == 1 ? kStep0 : side_plane_ == 2 ? kStep1 : kStep2;
      side_start_ = 16 * (lane_ - (side_plane_ == 1 ? 0 : side_plane_ == 2 ? k0 : k0 + k1));
    }
    locate();
  }

  // Copies the next chunk, if there is one, and closes the group in any case.
  __device__ void copy(std::uint8_t* stage) {
    if (local_ < block_.n_local) {
      const bool has_unit = chunk_ * kChunkUnits + lane_ < n_units_;
      // A step of 8 bytes is copied as 16 from a multiple of 16.
      constexpr int kMask = Dot::kSideBytes.of_plane[2] % 16 == 0 ? ~0 : ~15;
      const int side = (chunk_ * side_step_ & kMask) + side_start_;
      const bool has_side = side < side_bytes_;
#pragma unroll
      for (int s = 0; s < kStreams; ++s) {
        if (!is_row_[s]) continue;
        std::uint8_t* to = stage + s * kStreamBytes<Dot> + 16 * lane_;
        if (has_unit) copy_async_16(to, main_[s]);
        if (has_side) copy_async_16(to + kMainBytes, side_[s] + side);
        main_[s] += block_.warps_per_row * kMainBytes;
      }
      chunk_ += block_.warps_per_row;
      if (chunk_ >= block_.n_chunks) {
        chunk_ = block_.first_chunk;
        next_row();
      }
    }
    commit_copies();
  }

 private:
  // Rows of one matrix, or of a gate and its up, lie at constant distances: one addition instead of
  // looking the row up, which short rows would spend half their instructions on.
  __device__ void next_row() {
    const int step = block_.slots * kStreams, tile = 1 << params_.tile_rows_log2;
    local_ += step;
    const bool is_gate_up = params_.output == GemvOutput::gate_up;
    if (is_gate_up ? step % 2 != 0 : params_.matrices[1].first_row < params_.n_rows)
      return locate();
    const bool new_tile = (local_ & (tile - 1)) < step;
    const int jump = step + (new_tile ? (params_.n_blocks - 1) * tile : 0);
    const std::int64_t rows = is_gate_up ? jump / 2 : jump;
    const int copied = (block_.n_chunks - 1 - block_.first_chunk) / block_.warps_per_row + 1;
    const std::int64_t main_step =
        rows * params_.matrices[0].planes.stride - copied * block_.warps_per_row * kMainBytes;
    row_ += static_cast<std::uint32_t>(jump);
#pragma unroll
    for (int s = 0; s < kStreams; ++s) {
      is_row_[s] = local_ < block_.n_local && row_ + s < static_cast<std::uint32_t>(params_.n_rows);
      main_[s] += main_step;
      side_[s] += rows * params_.matrices[0].planes.stride;
    }
  }

  __device__ void locate() {
    row_ = static_cast<std::uint32_t>(global_row(params_, block_.index, local_));
#pragma unroll
    for (int s = 0; s < kStreams; ++s) {
      const std::int64_t row = global_row(params_, block_.index, local_ + s);
      is_row_[s] = local_ < block_.n_local && row < params_.n_rows;
      if (!is_row_[s]) continue;
      const RowPlace place = place_of(params_, static_cast<int>(row));
      const MatrixPlanes& planes = params_.matrices[place.matrix].planes;
      main_[s] = planes.data[0] + place.row * planes.stride +
                 16 * (block_.first_chunk * kChunkUnits + lane_);
      if (side_plane_ == 0) continue;  // side_bytes_ stays 0
      side_bytes_ = static_cast<int>(planes.row_bytes[side_plane_]);
      side_[s] = planes.data[side_plane_] + place.row * planes.stride;
    }
  }

  const GemvParams& params_;
  const GemvBlock& block_;
  int n_units_, chunk_, local_, lane_;
  std::uint32_t row_;  // of the first stream, among all
  int side_plane_, side_step_ = 0, side_start_ = 0, side_bytes_ = 0;  // what this lane copies
  const std::uint8_t* main_[kStreams] = {};
  const std::uint8_t* side_[kStreams] = {};
  bool is_row_[kStreams];
};

// ---- the block

template <class Dot, int kStreams>
__device__ void fused_gemv_block(const GemvParams& params, int block_index) {
  using Shared = GemvShared<Dot, kStreams>;
  let_dependents_start();
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const int n_warps = blockDim.x / kWarpSize;
  const int n_units = params.cols / Dot::kUnitElems;
  const GemvBlock block(params, block_index, warp, n_warps,
                        (n_units + kChunkUnits - 1) / kChunkUnits, kStreams);
  std::uint8_t* shared = dynamic_shared();
  const Shared places(n_warps, params.cols, 0);
  std::uint8_t* ring = shared + warp * Shared::kRingBytes;
  const StagedX x = {reinterpret_cast<uint4*>(shared + places.x),
                     reinterpret_cast<XScale*>(shared + places.scales), places.n_slots};
  auto* sums = reinterpret_cast<float*>(shared + places.sums);

  WeightFeed<Dot, kStreams> feed(params, block, n_units);
#pragma unroll 1  // instructions are fetched cold, too
  for (int stage = 0; stage < Shared::kStages - 1; ++stage)
    feed.copy(ring + stage * Shared::kStageBytes);

  const XSource source = {params.x, params.gamma, params.cols};
  const GammaAhead gamma(params.gamma, params.cols);
  wait_for_predecessors();
  const float early = early_value(params, block);
  float squares = 0;
  if constexpr (!Dot::kIntegers)
    squares = stage_f32<Dot::kOrder>(x, source, gamma);
  else if (params.quants == nullptr)
    squares = stage_integers<Dot::kOrder, Dot::kScalesPer16>(x, source, gamma);
  else
    stage_quantized<Dot::kOrder, Dot::kScalesPer16>(x, params.quants, params.blocks, params.cols);
  const RmsSum rms(params, squares);
  __syncthreads();

  int use = 0, fill = (Shared::kStages - 1) * Shared::kStageBytes;
  int chunk = block.first_chunk;
  float of_row[kStreams] = {};
  for (int local = block.first_local * kStreams; local < block.n_local;) {
    wait_for_copies<Shared::kStages - 2>();
    __syncwarp();  // the copies of all lanes are there, and all have read the stage before
    feed.copy(ring + fill);
    if (chunk * kChunkUnits + lane < n_units) {
      const typename Dot::X of_x = Dot::load_x(x, chunk, lane);
#pragma unroll
      for (int s = 0; s < kStreams; ++s) {
        const std::uint8_t* main = ring + use + s * kStreamBytes<Dot>;
        of_row[s] += Dot::dot(main, main + kMainBytes, of_x, chunk, lane);
      }
    }
    use = use == (Shared::kStages - 1) * Shared::kStageBytes ? 0 : use + Shared::kStageBytes;
    fill = fill == (Shared::kStages - 1) * Shared::kStageBytes ? 0 : fill + Shared::kStageBytes;
    chunk += block.warps_per_row;
    if (chunk < block.n_chunks) continue;
#pragma unroll
    for (int s = 0; s < kStreams; ++s) {
      const float sum = warp_sum(of_row[s]);
      if (lane == 0) sums[(local + s) * block.warps_per_row + block.first_chunk] = sum;
      of_row[s] = 0;
    }
    chunk = block.first_chunk;
    local += block.slots * kStreams;
  }
  __syncthreads();
  finish_rows(params, block, sums, rms.factor(params), early);
}

template <class Dot, int kStreams>
__global__ __launch_bounds__(kMaxGemvThreads,
                             1) void fused_gemv_kernel(const __grid_constant__ GemvParams params) {
  fused_gemv_block<Dot, kStreams>(params, static_cast<int>(blockIdx.x));
}

// Matrices of two types with one x: the first a.n_blocks blocks take those of `a`.
template <class DotA, class DotB>
__global__ __launch_bounds__(kMaxGemvThreads,
                             1) void fused_gemv_mixed_kernel(const __grid_constant__ GemvParams a,
                                                             const __grid_constant__ GemvParams b) {
  const int index = static_cast<int>(blockIdx.x);
  if (index < a.n_blocks)
    fused_gemv_block<DotA, 1>(a, index);
  else
    fused_gemv_block<DotB, 1>(b, index - a.n_blocks);
}

// Any type and any size, one row a warp at a time: weights and x come through the L1 cache.
template <class D>
__global__ __launch_bounds__(kMaxGemvThreads,
                             1) void plain_gemv_kernel(const __grid_constant__ GemvParams params) {
  let_dependents_start();
  const int lane = threadIdx.x % kWarpSize, warp = threadIdx.x / kWarpSize;
  const int n_units = params.cols / (D::kRuns * D::kRun);
  const GemvBlock block(params, static_cast<int>(blockIdx.x), warp, blockDim.x / kWarpSize, n_units,
                        1);
  auto* sums = reinterpret_cast<float*>(dynamic_shared());
  wait_for_predecessors();
  const float early = early_value(params, block);
  float squares = 0;
  if (params.gamma != nullptr)
    for (int i = threadIdx.x; i < params.cols; i += blockDim.x)
      squares = fmaf(params.x[i], params.x[i], squares);
  const RmsSum rms(params, squares);

  for (int local = block.first_local; local < block.n_local; local += block.slots) {
    const std::int64_t row = global_row(params, block.index, local);
    float sum = 0;
    if (row < params.n_rows) {
      const RowPlace place = place_of(params, static_cast<int>(row));
      const RowPlanes planes = row_of(params.matrices[place.matrix].planes, place.row);
      for (int unit = block.first_chunk * kWarpSize + lane; unit < n_units;
           unit += block.warps_per_row * kWarpSize) {
        float values[D::kRuns][D::kRun];
        D::decode(planes, unit, values);
        const int first = D::first_column(unit);
#pragma unroll
        for (int r = 0; r < D::kRuns; ++r) {
          const int at = first + r * D::kStride;
          if (params.gamma != nullptr) multiply_run(values[r], params.gamma + at);
          sum += dot_run(values[r], params.x + at);
        }
      }
    }
    sum = warp_sum(sum);
    if (lane == 0) sums[local * block.warps_per_row + block.first_chunk] = sum;
  }
  __syncthreads();
  finish_rows(params, block, sums, rms.factor(params), early);
}

}  // namespace haikuda::cuda
