// Chooses a plan and launches a fused matrix-vector kernel. Included by fused_gemv_*.cu alone.
#pragma once

#include <bit>

#include "cuda/kernels/fused_gemv.cuh"
#include "cuda/kernels/launch.cuh"

namespace haikuda::cuda {

// Dynamic shared memory that a block can have beside what the kernels declare.
inline std::size_t max_shared_bytes() {
  constexpr int kDeclared = 1024;
  return static_cast<std::size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) -
                                  kDeclared);
}

inline int log2_of(int power_of_two) {
  HAIKUDA_CHECK(std::has_single_bit(static_cast<unsigned>(power_of_two)));
  return std::countr_zero(static_cast<unsigned>(power_of_two));
}

// The plan given or the best one, written into the parameters.
inline GemvPlan plan_call(GemvParams& params, const GemvCall& call, GemvShape shape) {
  shape.rows = params.n_rows;
  shape.is_gate_up = params.output == GemvOutput::gate_up;
  shape.quantizes_rows = params.out_quants != nullptr;
  if (params.quants != nullptr) {
    shape.n_x_vectors = params.cols / 16 * kActivationPlanes;
    shape.x_vector_cost = 12;
  }
  GemvPlan plan = call.plan != nullptr ? *call.plan : choose_plan(shape, n_multiprocessors());
  plan.n_blocks = std::min(plan.n_blocks, plan.n_tiles(params.n_rows));
  HAIKUDA_CHECK(plan.n_blocks >= 1 && plan.n_blocks <= kMaxGemvBlocks);
  HAIKUDA_CHECK(plan.n_warps * kWarpSize <= kMaxGemvThreads &&
                plan.n_warps % plan.warps_per_row == 0 && plan.warps_per_row <= shape.n_chunks &&
                plan.tile_rows % plan.rows_per_step() == 0);
  HAIKUDA_CHECK(!shape.is_gate_up || plan.tile_rows % 2 == 0);
  HAIKUDA_CHECK(!shape.quantizes_rows || plan.tile_rows % 64 == 0);
  params.warps_per_row_log2 = log2_of(plan.warps_per_row);
  params.tile_rows_log2 = log2_of(plan.tile_rows);
  params.n_blocks = plan.n_blocks;
  return plan;
}

inline int n_sums_of(const GemvPlan& plan, int rows) {
  return plan.rows_per_block(rows) * plan.warps_per_row;
}

template <class Dot>
GemvShape shape_of(int cols) {
  return {.n_chunks = (cols / Dot::kUnitElems + kChunkUnits - 1) / kChunkUnits,
          .chunk_bytes = kStreamBytes<Dot>,
          .chunk_x_bytes = kChunkUnits * static_cast<int>(sizeof(typename Dot::X)),
          .n_x_vectors = cols / 4,
          .x_vector_cost = Dot::kIntegers ? 80 : 16};
}

template <class Dot, int kStreams>
int launch_planned(const GemvParams& params, const GemvPlan& plan, cudaStream_t stream) {
  const GemvShared<Dot, kStreams> shared(plan.n_warps, params.cols, n_sums_of(plan, params.n_rows));
  if (shared.bytes > max_shared_bytes()) return 0;
  launch_dependent(fused_gemv_kernel<Dot, kStreams>, grid_of(plan.n_blocks),
                   plan.n_warps * kWarpSize, shared.bytes, stream, params);
  return plan.n_blocks;
}

template <class Dot>
int launch_fused(const GemvCall& call) {
  if (call.params.cols % Dot::kUnitElems != 0) return 0;
  GemvParams params = call.params;
  const GemvPlan plan = plan_call(params, call, shape_of<Dot>(params.cols));
  return plan.n_streams == 1 ? launch_planned<Dot, 1>(params, plan, call.stream)
                             : launch_planned<Dot, 2>(params, plan, call.stream);
}

}  // namespace haikuda::cuda
