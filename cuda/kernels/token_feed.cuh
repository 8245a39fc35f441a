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
    const int block = static_cast<int>(blockIdx.x) - shape.first_block;
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
        slot_bytes_(tables.params.slot_bytes),
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
#pragma unroll 1
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
  __device__ void wait_until_full(const RingPlace& place) const {
    wait(full(place), place.parity);
  }
  // The first time around nobody has to free it.
  __device__ void wait_until_free(const RingPlace& place) const {
    wait(free(place), place.parity ^ 1);
  }
  // By each lane that has read the slot, for those of so many of the block's warps. All lanes say
  // so themselves, which costs nothing and which racecheck can follow.
  __device__ void say_free(const RingPlace& place, int n_warps) const {
    arrive(free(place), n_warps);
  }

  int n_slots;

 private:
  static __device__ void wait(CopyBarrier* barrier, unsigned parity) {
#pragma unroll 1
    while (!__all_sync(kAllLanes, has_ended(barrier, parity))) {
    }
  }

  int slot_bytes_, stride_, end_;
  std::uint8_t* bytes_;
};

// A group's first slot of a step that begins at `place`, into a visit of slots: `at`, `tile` and
// `span`.
template <class Visit>
__device__ void enter_first_slot(
    Visit& visit, const TokenRing& ring, const RingPlace& place, int group, int n_spans) {
  visit.at = place, visit.tile = 0, visit.span = group;
  ring.advance(visit.at, group);
#pragma unroll 1
  for (; visit.span >= n_spans; visit.span -= n_spans) ++visit.tile;
}

// Where rows lie.
class RowSource {
 public:
  __device__ RowSource(const TokenStep& step, const TokenShape& shape)
      : is_gate_up_(shape.output == TokenOutput::gate_up),
        second_(shape.first_row[1]),
        third_(shape.first_row[2]),
        stride_(shape.row_stride),
        order_(shape.act_order) {
#pragma unroll
    for (int m = 0; m < 3; ++m) data_[m] = step.data[m];
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
    return data + std::int64_t{of_matrix} * stride_;
  }

 private:
  bool is_gate_up_;
  int second_, third_, stride_;
  TokenActOrder order_;
  const std::uint8_t* data_[3];
};

// By a warp that copies: its slots of the tiles of one step. A lane asks for a copy of a row, one
// after the other, 50 cycles each. `turn`: how many slots pass before the feeder's next. No more
// slots are on their way than keep the memory busy: what waits in its queues delays what blocks
// hand to each other.
__device__ inline void feed_step(const TokenRing& ring,
                                 RingPlace& place,
                                 int& turn,
                                 const TokenStep& step,
                                 const TokenShape& shape,
                                 int n_feeders) {
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  static_assert(kMaxPlanes * kTokenTileRows == kWarpSize);
  const int row = lane % kTokenTileRows, of_copies = lane / kTokenTileRows;
  const bool has_copy = of_copies < shape.n_copies;
  const int index = has_copy ? of_copies : 0;
  const TokenCopy& copy = shape.copies[index];
  const int n_spans = shape.n_spans, window = shape.window;
  const int start_in_row = copy.start, row_bytes = copy.row_bytes, span_bytes = copy.span_bytes,
            copy_bytes = copy.copy_bytes, to = copy.to + row * copy.stride;
  const int n_all_rows = shape.n_rows;
  const RowSource source(step, shape);
  const TokenShare share(shape);
  const int n_tiles = share.n_tiles();
  const CachePolicy policy = evict_first();  // so that all else stays there
  int tile = 0, span = turn;  // the feeder's next; no division, which takes as long as a copy
  while (true) {
#pragma unroll 1
    for (; span >= n_spans; span -= n_spans) ++tile;
    if (tile >= n_tiles) break;
    const int first_pair = share.first_pair + tile * kTokenTilePairs;
    const int n_rows =
        min(kTokenRows * min(share.n_pairs - tile * kTokenTilePairs, kTokenTilePairs),
            n_all_rows - kTokenRows * first_pair);
    const int start = span * span_bytes / 16 * 16;
    const bool has_row = has_copy && row < n_rows;
    const int n_bytes = has_row ? min(copy_bytes, row_bytes - start) : 0;
    const std::uint8_t* from =
        source.row(first_pair + row / kTokenRows, row % kTokenRows) + (start_in_row + start);
    const int n_bytes_of_all = warp_sum(n_bytes);
    ring.wait_until_free(place);
    ring.wait_until_full(ring.before(place, window));
    order_before_bulk_copies();
    CopyBarrier* full = ring.full(place);
    if (lane == 0) {
      arrive(full, kWarpSize - 1);
      announce_bytes(full, n_bytes_of_all);
    }
    __syncwarp();
    if (has_row) copy_bulk(ring.bytes(place) + to, from, n_bytes, full, policy);
    __syncwarp();
    ring.advance(place, n_feeders);
    span += n_feeders;
  }
  turn = (tile - n_tiles) * n_spans + span;
}

}  // namespace haikuda::cuda
