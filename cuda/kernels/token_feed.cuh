// The weights of all products on their way into shared memory, tile after tile in the order of
// need. They depend on nothing, so a warp of its own copies them ahead, across phases, as far as
// the ring has room: while blocks wait for each other, the memory works. Included by token.cu
// alone.
#pragma once

#include "cuda/device/async.cuh"
#include "cuda/device/bulk_copy.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/token_step.h"

namespace haikuda::cuda {

// The model as it lies in shared memory.
struct TokenTables {
  const TokenParams& params;
  SharedBase shared;

  __device__ const TokenStep& step_at(int step) const {
    return shared.at<TokenStep>(params.steps_start)[step];
  }
  __device__ const TokenShape& shape_at(int step) const {
    return shared.at<TokenShape>(params.shapes_start)[step_at(step).shape];
  }
};

// A barrier of the warps that multiply.
__device__ inline void sync_consumers() {
  asm volatile("bar.sync 1, %0;" ::"n"(kTokenThreads) : "memory");
}
struct SyncConsumers {
  __device__ void operator()() const { sync_consumers(); }
};

// The block's part of a product: pairs of rows, taken by tiles of kTokenTilePairs.
struct TokenShare {
  int first_pair, n_pairs;

  __device__ explicit TokenShare(const TokenShape& shape) {
    const int block = static_cast<int>(blockIdx.x);
    first_pair = block * shape.pairs_of_block + min(block, shape.n_longer) * shape.unit;
    n_pairs = shape.pairs_of_block + (block < shape.n_longer ? shape.unit : 0);
  }
  __device__ int n_tiles() const { return (n_pairs + kTokenTilePairs - 1) / kTokenTilePairs; }
};

struct TokenRow {
  int matrix;
  int row;
};
// Row 0 or 1 of a pair.
__device__ inline TokenRow row_of_pair(const TokenShape& shape, int pair, int row) {
  if (shape.output == TokenOutput::gate_up) return {row, pair};
  const int of_all = kTokenRows * pair + row;
  const int matrix = (of_all >= shape.first_row[1]) + (of_all >= shape.first_row[2]);
  return {matrix, of_all - shape.first_row[matrix]};
}

// The ring: slots of one size, each with two barriers, that it is full and that it is free again.
// Tiles pass through it in the order of need. Feeders take its places in turn, as do groups of
// warps that multiply in a step, with a barrier of all between steps; so whoever waits for a place
// has seen all that happened there before, and one bit tells the times around the ring apart.
struct RingPlace {
  int slot = 0;
  unsigned parity = 0;

  // At most once around.
  __device__ void advance(int n, int n_slots) {
    slot += n;
    const bool is_beyond = slot >= n_slots;
    slot -= is_beyond ? n_slots : 0;
    parity ^= is_beyond ? 1 : 0;
  }
  __device__ void advance_far(int n, int n_slots) {
    for (; n > n_slots; n -= n_slots) parity ^= 1;
    advance(n, n_slots);
  }
};
class TokenRing {
 public:
  __device__ explicit TokenRing(const TokenTables& tables)
      : n_slots(tables.params.n_slots),
        slot_bytes_(tables.params.slot_bytes()),
        bytes_(tables.shared.at<std::uint8_t>(0)),
        barriers_(tables.shared.at<CopyBarrier>(tables.params.barriers_start)) {}

  __device__ std::uint8_t* bytes(const RingPlace& at) const {
    return bytes_ + at.slot * slot_bytes_;
  }
  __device__ CopyBarrier* full(const RingPlace& at) const { return barriers_ + at.slot; }
  __device__ CopyBarrier* free(const RingPlace& at) const { return full(at) + kTokenSlots; }
  __device__ void wait_until_full(const RingPlace& at) const {
    wait_for_barrier(full(at), at.parity);
  }
  // The first time around nobody has to free it.
  __device__ void wait_until_free(const RingPlace& at) const {
    wait_for_barrier(free(at), at.parity ^ 1);
  }
  // By all lanes of a warp, once they have read the slot; for so many of the block's warps.
  __device__ void say_free(const RingPlace& at, int n_warps) const {
    __syncwarp();
    if (threadIdx.x % kWarpSize == 0) arrive(free(at), n_warps);
  }

  int n_slots;

 private:
  int slot_bytes_;
  std::uint8_t* bytes_;
  CopyBarrier* barriers_;  // (2, kTokenSlots): full, free
};

// By a warp that copies: its slots of the tiles of one step. A lane copies a row. `turn`: how many
// slots pass before the feeder's next.
__device__ inline void feed_step(const TokenRing& ring,
                                 RingPlace& place,
                                 int& turn,
                                 const TokenStep& step,
                                 const TokenShape& shape,
                                 int slot_row_bytes) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int row_bytes = shape.row_bytes, n_spans = shape.n_spans;
  const int span_bytes = shape.span_units * kTokenUnit * 2;
  const TokenShare share(shape);
  const int n_tiles = share.n_tiles();
  int tile = 0, span = turn;  // the feeder's next; no division, which takes as long as a copy
  while (true) {
    for (; span >= n_spans; span -= n_spans) ++tile;
    if (tile >= n_tiles) break;
    const int start = span * span_bytes;
    const int pair = tile * kTokenTilePairs + lane / kTokenRows, of_pair = lane % kTokenRows;
    const int of_all = kTokenRows * (share.first_pair + pair) + of_pair;
    const bool is_row = lane < kTokenTileRows && pair < share.n_pairs && of_all < shape.n_rows;
    const unsigned n_rows = __popc(__ballot_sync(kAllLanes, is_row));
    const auto n_bytes = static_cast<unsigned>(min(span_bytes, row_bytes - start));
    const std::uint8_t* from = nullptr;
    if (is_row) {
      const TokenRow at = row_of_pair(shape, share.first_pair + pair, of_pair);
      from = step.data[at.matrix] + std::int64_t{at.row} * row_bytes + start;
    }
    ring.wait_until_free(place);
    order_before_bulk_copies();
    if (lane == 0) {
      arrive(ring.full(place), kWarpSize - 1);
      announce_bytes(ring.full(place), n_rows * n_bytes);
    }
    __syncwarp();
    if (is_row)
      copy_bulk(ring.bytes(place) + lane * slot_row_bytes, from, n_bytes, ring.full(place));
    place.advance(kTokenFeeders, ring.n_slots);
    span += kTokenFeeders;
  }
  turn = (tile - n_tiles) * n_spans + span;
}

}  // namespace haikuda::cuda
