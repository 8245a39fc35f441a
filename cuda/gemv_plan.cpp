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
// kernel's blocks find room beside them. A long x is fetched and converted once a multiprocessor,
// by one large block; a short one costs little, and smaller blocks wait less for each other.
// Measured on an H100, over all plans of the shapes of a 0.5B and a 7B model.
constexpr Residency kOfShortX = {8, 2}, kOfLargeOrLongX = {16, 1};
constexpr int kLongX = 512;  // vectors of 16 bytes
constexpr double kLargeBytes = 48e6;
// Bytes that a multiprocessor gets from memory in a cycle: 4.5 TB/s over 132 at 1.75 GHz.
constexpr double kMemoryBytes = 19.5;
// Bytes that it moves into and out of shared memory in a cycle.
constexpr double kSharedBytes = 128;
// Cycles of a warp, from one chunk to the next and for the sum over the warp at the end of a row;
// and what a second row, whose instructions fill the gaps of the first, adds to them.
constexpr double kChunkLatency = 160, kRowLatency = 150, kSecondRow = 1.2;
// Cycles until what a block asked for of x is there, and the loads of a thread that they cover
// (kLoadsAhead in device/staged_x.cuh).
constexpr double kXLatency = 600;
constexpr int kXLoads = 2;
constexpr int kLanes =
    128;  // instructions of single threads that a multiprocessor starts in a cycle
// Other plans than the simplest have to promise more than the model's error.
constexpr double kClearlyLess = 0.9;
// What quantizing its output may cost gate_up before `down` does it instead, in every block.
constexpr double kQuantizeSlack = 1.15;
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
  // Tiles of the busiest multiprocessor: of blocks 0, n_sms, 2 n_sms …, of which those below
  // n_tiles % n_blocks have one more than the others.
  const int blocks_per_sm = ceil_div(plan.n_blocks, n_sms), least = n_tiles / plan.n_blocks;
  const double of_sm = least * blocks_per_sm + ceil_div(n_tiles % plan.n_blocks, n_sms);
  const double n_chunks = of_sm * plan.tile_rows * shape.n_chunks;
  // Some of what the others leave of the memory's rate the busiest takes.
  const double of_all = static_cast<double>(shape.rows) * shape.n_chunks / n_sms;
  const double memory = 0.5 * (n_chunks + of_all) * shape.chunk_bytes / kMemoryBytes;
  // Weights go in and out, x only out, once for all rows at a time.
  const double shared =
      n_chunks * (2 * shape.chunk_bytes + shape.chunk_x_bytes / plan.n_streams) / kSharedBytes;
  // What a warp of the busiest block does one after the other.
  const double steps = static_cast<double>(plan.rows_per_block(shape.rows)) / plan.rows_per_step();
  const double chunks = ceil_div(shape.n_chunks, plan.warps_per_row);
  const double latency =
      steps * (chunks * kChunkLatency + kRowLatency) * (plan.n_streams == 2 ? kSecondRow : 1.0);
  // Before, each block fetches x.
  const double n_rounds = ceil_div(shape.n_x_vectors, kXLoads * 32 * plan.n_warps);
  const double x = n_rounds * kXLatency + static_cast<double>(blocks_per_sm) * shape.n_x_vectors *
                                              shape.x_vector_cost / kLanes;
  // The others overlap, but not wholly.
  return x + 0.5 * (std::max({memory, shared, latency}) + memory + shared + latency);
}

GemvPlan choose_plan(const GemvShape& shape, int n_sms) {
  HAIKUDA_CHECK(shape.rows >= 1 && shape.n_chunks >= 1 && n_sms >= 1);
  const double n_bytes = static_cast<double>(shape.rows) * shape.n_chunks * shape.chunk_bytes;
  const bool is_large = shape.n_x_vectors >= kLongX || n_bytes >= kLargeBytes;
  const Residency& residency = is_large ? kOfLargeOrLongX : kOfShortX;
  GemvPlan best;
  double best_cost = -1;
  for (int warps_per_row = 1; warps_per_row <= 8; warps_per_row *= 2)
    if (warps_per_row <= shape.n_chunks) {
      const int n_streams = shape.one_row_at_a_time ? 1 : 2;
      const GemvPlan plan = make_plan(shape, residency, warps_per_row, n_streams, n_sms);
      const double cost = plan_cost(shape, plan, n_sms);
      if (best_cost >= 0 && cost >= kClearlyLess * best_cost) continue;  // the simpler comes first
      best = plan, best_cost = cost;
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
