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

// The ring: slots of one size, each with two barriers, that it is full and that it is free again.
// Tiles pass through it in the order of need. Feeders take its places in turn, as do groups of
// warps that multiply in a step, with a barrier of all between steps. There are as many places as
// both divide: so whoever waits for a place has seen all that happened there before, and one bit
// tells the times around the ring apart.
struct RingPlace {
  int at = 0;  // bytes from the ring's begin
  unsigned parity = 0;
};
class TokenRing {
 public:
  __device__ explicit TokenRing(const TokenTables& tables)
      : n_slots(tables.params.n_slots),
        slot_bytes_(tables.params.slot_bytes()),
        stride_(tables.params.slot_stride()),
        end_(tables.params.n_slots * tables.params.slot_stride()),
        bytes_(tables.shared.at<std::uint8_t>(0)) {}

  __device__ std::uint8_t* bytes(const RingPlace& place) const { return bytes_ + place.at; }
  // Behind its bytes.
  __device__ CopyBarrier* full(const RingPlace& place) const {
    return reinterpret_cast<CopyBarrier*>(bytes(place) + slot_bytes_);
  }
  __device__ CopyBarrier* free(const RingPlace& place) const { return full(place) + 1; }

  // At most once around.
  __device__ void advance(RingPlace& place, int n) const {
    place.at += n * stride_;
    if (place.at >= end_) place.at -= end_, place.parity ^= 1;
  }
  __device__ void advance_far(RingPlace& place, int n) const {
    for (; n > n_slots; n -= n_slots) place.parity ^= 1;
    advance(place, n);
  }
  // So many slots before.
  __device__ RingPlace before(RingPlace place, int n) const {
    place.at -= n * stride_;
    if (place.at < 0) place.at += end_, place.parity ^= 1;
    return place;
  }
  // By all lanes of a warp.
  __device__ void wait_until_full(const RingPlace& place) const { wait(full(place), place.parity); }
  // The first time around nobody has to free it.
  __device__ void wait_until_free(const RingPlace& place) const {
    wait(free(place), place.parity ^ 1);
  }
  // By all lanes of a warp, once they have read the slot; for so many of the block's warps.
  __device__ void say_free(const RingPlace& place, int n_warps) const {
    __syncwarp();
    if (threadIdx.x % kWarpSize == 0) arrive(free(place), n_warps);
  }

  int n_slots;

 private:
  static __device__ void wait(CopyBarrier* barrier, unsigned parity) {
    while (!__all_sync(kAllLanes, has_ended(barrier, parity))) {
    }
  }

  int slot_bytes_, stride_, end_;
  std::uint8_t* bytes_;
};

// Where the rows of a tile lie: the first and the second of a pair, and so far to the next pair's.
// In registers: what is in shared memory would be read again for each copy.
struct TileRows {
  const std::uint8_t* first[kTokenRows];
  std::int64_t step, far;  // to the next pair, and to the one after it

  __device__ std::int64_t to_pair(int pair) const { return pair % 2 * step + pair / 2 * far; }
};
class RowSource {
 public:
  // Of weights, or of their scales.
  __device__ RowSource(const TokenStep& step, const TokenShape& shape, bool is_side)
      : is_gate_up_(shape.output == TokenOutput::gate_up),
        second_(shape.first_row[1]),
        third_(shape.first_row[2]),
        row_bytes_(is_side ? shape.side_row_bytes : shape.row_bytes),
        order_(shape.act_order) {
#pragma unroll
    for (int m = 0; m < 3; ++m) data_[m] = step.data[m] + (is_side ? shape.side_start[m] : 0);
  }
  // Row 0 or 1 of a pair: of a gate and its up, or of all rows two neighbours.
  __device__ const std::uint8_t* row(int pair, int row) const {
    const int of_all = kTokenRows * pair + row;
    const bool is_second = is_gate_up_ ? row == 1 : of_all >= second_;
    const bool is_third = !is_gate_up_ && of_all >= third_;
    const std::uint8_t* data = is_third ? data_[2] : is_second ? data_[1] : data_[0];
    const int of_matrix = is_gate_up_ ? order_.column(pair)
                                      : of_all - (is_third    ? third_
                                                  : is_second ? second_
                                                              : 0);
    return data + std::int64_t{of_matrix} * row_bytes_;
  }
  // Whether all of a tile's rows follow each other as TileRows has them.
  __device__ bool is_even(int first_pair) const {
    const int first = kTokenRows * first_pair, end = first + kTokenTileRows;
    return is_gate_up_ ||
           ((end <= second_ || first >= second_) && (end <= third_ || first >= third_));
  }
  __device__ TileRows tile(int first_pair) const {
    return {{row(first_pair, 0), row(first_pair, 1)},
            std::int64_t{is_gate_up_ ? 1 : kTokenRows} * row_bytes_,
            std::int64_t{is_gate_up_ ? order_.far : 2 * kTokenRows} * row_bytes_};
  }

 private:
  bool is_gate_up_;
  int second_, third_, row_bytes_;
  TokenActOrder order_;
  const std::uint8_t* data_[3];
};

// Of a line of memory.
constexpr int kLineFloats = 32;

// By one lane: n_bytes of each row of a tile, from `start` on, to rows that lie to_row bytes apart.
__device__ inline void copy_rows(const RowSource& source,
                                 int first_pair,
                                 int n_rows,
                                 int start,
                                 std::uint8_t* to,
                                 int to_row,
                                 int n_bytes,
                                 CopyBarrier* full) {
  if (n_rows == kTokenTileRows && source.is_even(first_pair)) {
    const TileRows rows = source.tile(first_pair);
#pragma unroll
    for (int r = 0; r < kTokenTileRows; ++r)
      copy_bulk(to + r * to_row,
                rows.first[r % kTokenRows] + (start + rows.to_pair(r / kTokenRows)), n_bytes, full);
    return;
  }
#pragma unroll 1
  for (int r = 0; r < n_rows; ++r)
    copy_bulk(to + r * to_row, source.row(first_pair + r / kTokenRows, r % kTokenRows) + start,
              n_bytes, full);
}

// By a warp that copies: its slots of the tiles of one step. One lane asks for the rows of a slot,
// one after the other. `turn`: how many slots pass before the feeder's next. No more slots are on
// their way than keep the memory busy: what waits in its queues delays what blocks hand to each
// other.
__device__ inline void feed_step(const TokenRing& ring,
                                 RingPlace& place,
                                 int& turn,
                                 const TokenStep& step,
                                 const TokenShape& shape,
                                 const TokenParams& params) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int n_spans = shape.n_spans, window = shape.window, n_feeders = params.n_feeders;
  const int row_bytes = shape.row_bytes, span_bytes = shape.span_bytes;
  const int side_row_bytes = shape.side_row_bytes, side_span_bytes = shape.side_span_bytes,
            side_copy_bytes = shape.side_copy_bytes;
  const int to_row = params.slot_row_bytes, to_side = params.slot_side_start;
  const int n_all_rows = shape.n_rows;
  const RowSource weights(step, shape, false), scales(step, shape, true);
  const TokenShare share(shape);
  const int n_tiles = share.n_tiles();
  if (step.gamma != nullptr)
    for (int i = lane * kLineFloats; i < shape.cols; i += kWarpSize * kLineFloats)
      prefetch_to_l2(step.gamma + i);
  int tile = 0, span = turn;  // the feeder's next; no division, which takes as long as a copy
  while (true) {
    for (; span >= n_spans; span -= n_spans) ++tile;
    if (tile >= n_tiles) break;
    const int first_pair = share.first_pair + tile * kTokenTilePairs;
    const int n_rows =
        min(kTokenRows * min(share.n_pairs - tile * kTokenTilePairs, kTokenTilePairs),
            n_all_rows - kTokenRows * first_pair);
    const int start = span * span_bytes, side_start = span * side_span_bytes / 16 * 16;
    const int n_bytes = min(span_bytes, row_bytes - start);
    const int n_side_bytes = min(side_copy_bytes, side_row_bytes - side_start);
    ring.wait_until_free(place);
    ring.wait_until_full(ring.before(place, window));
    order_before_bulk_copies();
    CopyBarrier* full = ring.full(place);
    if (lane == 0) {
      arrive(full, kWarpSize - 1);
      announce_bytes(full, n_rows * (n_bytes + n_side_bytes));
    }
    __syncwarp();
    std::uint8_t* to = ring.bytes(place);
    if (side_row_bytes == 0) {
      // One after the other, 50 cycles each: at once they delay others more.
      if (lane < n_rows)
        copy_bulk(to + lane * to_row,
                  weights.row(first_pair + lane / kTokenRows, lane % kTokenRows) + start, n_bytes,
                  full);
    } else if (is_elected()) {
      copy_rows(weights, first_pair, n_rows, start, to, to_row, n_bytes, full);
      copy_rows(scales, first_pair, n_rows, side_start, to + to_side, to_row, n_side_bytes, full);
    }
    __syncwarp();
    ring.advance(place, n_feeders);
    span += n_feeders;
  }
  turn = (tile - n_tiles) * n_spans + span;
}

}  // namespace haikuda::cuda
