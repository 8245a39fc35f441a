#include "cuda/gemv_plan.h"

#include <algorithm>

#include "base/error.h"

namespace haikuda::cuda {
namespace {

// ---- to be tuned

struct Residency {
  int n_warps, blocks_per_sm;
};
// Resident warps: enough to hide the latency of their own arithmetic, few enough that the next
// kernel's blocks find room beside them.
constexpr Residency kResidencies[] = {{8, 2}, {8, 3}, {16, 1}};
// What the sum over a warp and the change of rows cost, in chunks.
constexpr double kRowCost = 0.4;
// What a chunk of a second row costs, which finds x loaded.
constexpr double kSecondRowCost = 0.85;
// What quantizing its output may cost gate_up before `down` does it instead, in every block.
constexpr double kQuantizeSlack = 1.15;
// Two rows at a time when each warp has at least this many.
constexpr int kTwoRowsFrom = 4;

constexpr int ceil_div(int a, int b) {
  return (a + b - 1) / b;
}

GemvPlan make_plan(const GemvShape& shape,
                   const Residency& residency,
                   int warps_per_row,
                   int n_streams,
                   int n_sms) {
  GemvPlan plan{.n_warps = residency.n_warps,
                .warps_per_row = warps_per_row,
                .n_streams = n_streams,
                .tile_rows = 0,
                .n_blocks = 0};
  plan.tile_rows = std::max(plan.rows_per_step(), shape.is_gate_up ? 2 : 1);
  if (shape.quantizes_rows) plan.tile_rows = 64;
  plan.n_blocks =
      std::min({plan.n_tiles(shape.rows), n_sms * residency.blocks_per_sm, kMaxGemvBlocks});
  return plan;
}

}  // namespace

double plan_cost(const GemvShape& shape, const GemvPlan& plan, int n_sms) {
  const int n_tiles = plan.n_tiles(shape.rows);
  const double per_step = ceil_div(shape.n_chunks, plan.warps_per_row) *
                              (plan.n_streams == 2 ? 1 + kSecondRowCost : 1.0) +
                          kRowCost;
  // Tiles of the busiest multiprocessor: of blocks 0, n_sms, 2 n_sms …, of which those below
  // n_tiles % n_blocks have one more than the others. And of the busiest block, as if all had so
  // many.
  const int blocks_per_sm = ceil_div(plan.n_blocks, n_sms), least = n_tiles / plan.n_blocks;
  const int with_more = ceil_div(n_tiles % plan.n_blocks, n_sms);
  const double of_sm = least * blocks_per_sm + with_more;
  const double of_block = static_cast<double>(ceil_div(n_tiles, plan.n_blocks)) * blocks_per_sm;
  const double steps = plan.tile_rows / static_cast<double>(plan.rows_per_step());
  return 0.5 * (of_sm + of_block) * steps * plan.n_warps * per_step;
}

GemvPlan choose_plan(const GemvShape& shape, int n_sms) {
  HAIKUDA_CHECK(shape.rows >= 1 && shape.n_chunks >= 1 && n_sms >= 1);
  GemvPlan best;
  double best_cost = -1;
  for (const Residency& residency : kResidencies) {
    const int resident_warps = n_sms * residency.n_warps * residency.blocks_per_sm;
    const bool two_rows = !shape.one_row_at_a_time &&
                          (shape.is_gate_up || shape.rows / resident_warps >= kTwoRowsFrom);
    for (int warps_per_row = 1; warps_per_row <= 8; warps_per_row *= 2) {
      if (warps_per_row > shape.n_chunks) continue;
      const GemvPlan plan = make_plan(shape, residency, warps_per_row, two_rows ? 2 : 1, n_sms);
      const double cost = plan_cost(shape, plan, n_sms);
      if (best_cost >= 0 && cost >= 0.98 * best_cost) continue;  // the simpler comes first
      best = plan, best_cost = cost;
    }
  }
  return best;
}

bool should_quantize_rows(GemvShape shape, int n_sms) {
  shape.quantizes_rows = false;
  const double without = plan_cost(shape, choose_plan(shape, n_sms), n_sms);
  shape.quantizes_rows = true;
  return plan_cost(shape, choose_plan(shape, n_sms), n_sms) <= kQuantizeSlack * without;
}

}  // namespace haikuda::cuda
