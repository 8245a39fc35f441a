// The mixtures of types that q, k and v of real files have, in one launch: Q4_K_M and Q5_K_M keep
// half of their v in Q6_K, and where 256 does not divide the row the same in Q5_0, Q5_1 and Q8_0.
#include "cuda/kernels/fused_gemv_launch.cuh"

namespace haikuda::cuda {
namespace {

// Blocks of the same size for the few rows of the second type: as many as the first type's would
// have for them.
GemvPlan plan_like(const GemvPlan& other, const GemvParams& params, int n_chunks) {
  GemvPlan plan = other;
  while (plan.warps_per_row > n_chunks) plan.warps_per_row /= 2;
  plan.tile_rows = plan.rows_per_step();
  plan.n_blocks = std::min(plan.n_tiles(params.n_rows), n_multiprocessors());
  return plan;
}

template <class DotA, class DotB>
int launch_mixed(const GemvCall& a, const GemvCall& b) {
  const int cols = a.params.cols;
  if (cols % DotA::kUnitElems != 0 || cols % DotB::kUnitElems != 0) return 0;
  GemvParams params_a = a.params, params_b = b.params;
  GemvShape shape_a = shape_of<DotA>(cols);
  shape_a.one_row_at_a_time = true;
  const GemvPlan plan_a = plan_call(params_a, a, shape_a);
  GemvCall call_b = b;
  const GemvPlan plan_of_b = plan_like(plan_a, params_b, shape_of<DotB>(cols).n_chunks);
  call_b.plan = &plan_of_b;
  const GemvPlan plan_b = plan_call(params_b, call_b, shape_of<DotB>(cols));
  const GemvShared<DotA, 1> shared_a(plan_a.n_warps, cols, n_sums_of(plan_a, params_a.n_rows));
  const GemvShared<DotB, 1> shared_b(plan_b.n_warps, cols, n_sums_of(plan_b, params_b.n_rows));
  const std::size_t bytes = std::max(shared_a.bytes, shared_b.bytes);
  if (bytes > max_shared_bytes()) return 0;
  launch_dependent(fused_gemv_mixed_kernel<DotA, DotB>, grid_of(plan_a.n_blocks + plan_b.n_blocks),
                   plan_a.n_warps * kWarpSize, bytes, a.stream, params_a, params_b);
  return plan_a.n_blocks + plan_b.n_blocks;
}

}  // namespace

int run_mixed_gemv(const GemvCall& a, const GemvCall& b) {
  const auto are = [&](DType first, DType second) { return a.dtype == first && b.dtype == second; };
  if (are(DType::Q4_K, DType::Q6_K)) return launch_mixed<DotQ4_K, DotQ6_K>(a, b);
  if (are(DType::Q5_K, DType::Q6_K)) return launch_mixed<DotQ5_K, DotQ6_K>(a, b);
  if (are(DType::Q5_0, DType::Q8_0)) return launch_mixed<DotQ5_0, DotQ8_0>(a, b);
  if (are(DType::Q5_1, DType::Q8_0)) return launch_mixed<DotQ5_1, DotQ8_0>(a, b);
  return 0;
}

}  // namespace haikuda::cuda
