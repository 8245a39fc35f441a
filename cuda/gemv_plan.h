// How a fused matrix-vector product is shared out over the GPU. All that is to be tuned stands
// here and in gemv_plan.cpp; results differ between plans by the order of sums alone.
#pragma once

namespace haikuda::cuda {

// Chunks of each row that a warp has on their way while it multiplies one, plus one. More cover
// more latency and take shared memory: kStages · n_streams · 512 to 850 bytes a warp.
constexpr int kStagesOfOneRow = 8, kStagesOfTwoRows = 5;
constexpr int kMaxGemvThreads = 512;
// Blocks that wait for the argmax of a head.
constexpr int kMaxGemvBlocks = 1024;

struct GemvShape {
  int rows = 0;                    // of all matrices together
  int n_chunks = 0;                // of 32 units in a row
  int chunk_bytes = 512;           // of weights in a chunk
  int chunk_x_bytes = 1024;        // of x that they meet
  int n_x_vectors = 0;             // of 16 bytes that each block fetches of x
  int x_vector_cost = 16;          // instructions of a thread that puts one in its place
  bool is_gate_up = false;         // rows come in pairs
  bool quantizes_rows = false;     // a block takes 32 neighbouring pairs
  bool one_row_at_a_time = false;  // the kernel has no other way
};

// Every size is a power of two but n_blocks.
struct GemvPlan {
  int n_warps = 8;        // of a block
  int warps_per_row = 1;  // share its chunks; divides n_warps
  int n_streams = 1;      // rows that a warp multiplies together: 1 or 2
  int tile_rows = 8;      // neighbouring rows that a block takes at a time
  int n_blocks = 1;

  int rows_per_step() const { return n_warps / warps_per_row * n_streams; }
  int n_tiles(int rows) const { return (rows + tile_rows - 1) / tile_rows; }
  // Rows of the block that has most, counting those beyond the end.
  int rows_per_block(int rows) const {
    return (n_tiles(rows) + n_blocks - 1) / n_blocks * tile_rows;
  }
};

// About the cycles that the plan takes: to compare plans of one shape.
double plan_cost(const GemvShape& shape, const GemvPlan& plan, int n_sms);
GemvPlan choose_plan(const GemvShape& shape, int n_sms);
// Whether blocks that take 32 neighbouring pairs of rows cost little: then gate_up quantizes its
// output itself.
bool should_quantize_rows(GemvShape shape, int n_sms);

}  // namespace haikuda::cuda
