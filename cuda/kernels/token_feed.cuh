// The weights of all products on their way into shared memory, in the order in which each warp will
// need them. They depend on nothing, so warps of their own copy them ahead, across phases, as far
// as the rings have room: while blocks wait for each other, the memory works. Included by token.cu
// alone.
#pragma once

#include "cuda/device/bulk_copy.cuh"
#include "cuda/device/async.cuh"
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

// A warp's part of a product: which pairs of rows, and which spans of them.
struct TokenShare {
  int first_pair, n_pairs;  // of the block
  int group, n_groups;  // of warps that share a row: this takes pairs group, group + n_groups …
  int warps_per_row, first_span;

  __device__ TokenShare(const TokenShape& shape, int warp) {
    const int block = static_cast<int>(blockIdx.x);
    first_pair = block * shape.pairs_of_block + min(block, shape.n_longer) * shape.unit;
    n_pairs = shape.pairs_of_block + (block < shape.n_longer ? shape.unit : 0);
    warps_per_row = 1 << shape.warps_per_row_log2;
    group = warp >> shape.warps_per_row_log2;
    n_groups = kTokenWarps >> shape.warps_per_row_log2;
    first_span = warp & (warps_per_row - 1);
  }
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

// A warp's ring of slots, each as long as its span takes. Positions count bytes from the kernel's
// begin on, and those left free at the end of the ring where a slot would not fit; both sides
// follow the same rule, so that all they exchange is two barriers a slot: that it is full, and that
// it is free.
struct TokenRing {
  std::uint8_t* bytes;
  CopyBarrier* barriers;  // (2, kTokenSlots): full, free
  unsigned* ends;  // (kTokenRows, kTokenSlots): positions behind the slots, of the lanes that fill

  __device__ TokenRing(const TokenTables& tables, int warp)
      : bytes(tables.shared.at<std::uint8_t>(warp * tables.params.ring_bytes)),
        barriers(tables.shared.at<CopyBarrier>(tables.params.barriers_start) +
                 warp * kTokenBarriers),
        ends(tables.shared.at<unsigned>(tables.params.ends_start) +
             warp * kTokenRows * kTokenSlots) {}
  __device__ CopyBarrier* full(unsigned slot) const { return barriers + slot % kTokenSlots; }
  __device__ CopyBarrier* free(unsigned slot) const { return full(slot) + kTokenSlots; }
  // Of both, at the slot's time.
  static __device__ unsigned parity(unsigned slot) { return slot / kTokenSlots % 2; }
};
struct RingPlace {
  unsigned position = 0, n_slots = 0;  // passed
  int offset = 0;                      // of the position in the ring

  __device__ void skip_end(int n, int ring_bytes) {
    if (offset + n <= ring_bytes) return;
    position += static_cast<unsigned>(ring_bytes - offset);
    offset = 0;
  }
  __device__ void pass(int n) {
    position += static_cast<unsigned>(n);
    offset += n;
    ++n_slots;
  }
};

// By the warp that multiplies.
class TokenDrain {
 public:
  __device__ TokenDrain(const TokenTables& tables, int warp)
      : ring_(tables, warp), ring_bytes_(tables.params.ring_bytes) {}

  // Waits for the next slot, of n bytes: the caller knows what comes.
  __device__ const std::uint8_t* next(int n) {
    place_.skip_end(n, ring_bytes_);
    wait_for_barrier(ring_.full(place_.n_slots), TokenRing::parity(place_.n_slots));
    return ring_.bytes + place_.offset;
  }
  // Once this lane has read it; all say so.
  __device__ void free(int n) {
    arrive(ring_.free(place_.n_slots));
    place_.pass(n);
  }

 private:
  TokenRing ring_;
  int ring_bytes_;
  RingPlace place_;
};

// By the warps that copy: for each warp that multiplies two lanes, a row of its pairs each; both
// have the same place, and such lanes go on side by side.
class TokenFeed {
 public:
  __device__ TokenFeed(const TokenTables& tables, int feeder, int first_step, int end_step)
      : tables_(tables),
        warp_(kTokenWarpsOfFeeder * feeder + lane() / kTokenRows % kTokenWarpsOfFeeder),
        ring_(tables, warp_),
        step_(first_step - 1),
        end_step_(end_step) {
    if (lane() < kTokenWarpsOfFeeder * kTokenRows)
      next_step();
    else
      step_ = end_step_;
  }
  __device__ void run() {
    while (__any_sync(kAllLanes, step_ < end_step_)) {
      if (step_ >= end_step_) continue;
      if (n_freed_ < place_.n_slots && has_ended(ring_.free(n_freed_), TokenRing::parity(n_freed_)))
        freed_ = end_of(n_freed_++);
      RingPlace next = place_;
      next.skip_end(slot_bytes_, tables_.params.ring_bytes);
      const unsigned end = next.position + static_cast<unsigned>(slot_bytes_);
      if (end - freed_ > static_cast<unsigned>(tables_.params.ring_bytes) ||
          next.n_slots - n_freed_ == kTokenSlots)
        continue;
      copy(ring_.bytes + next.offset, ring_.full(next.n_slots));
      end_of(next.n_slots) = end;
      next.pass(slot_bytes_);
      place_ = next;
      span_ += warps_per_row_;
      if (span_ >= n_spans_) next_pair();
    }
  }

 private:
  static __device__ int lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }
  static __device__ int row() { return lane() % kTokenRows; }
  __device__ unsigned& end_of(unsigned slot) const {
    return ring_.ends[static_cast<unsigned>(row()) * kTokenSlots + slot % kTokenSlots];
  }

  __device__ void copy(std::uint8_t* slot, CopyBarrier* barrier) const {
    const int bytes = slot_bytes_ / kTokenRows, start = span_ * bytes;
    const int n_bytes = is_row_ ? min(bytes, row_bytes_ - start) : 0;
    announce_bytes(barrier, static_cast<unsigned>(n_bytes));
    if (n_bytes > 0)
      copy_bulk(slot + row() * bytes, row_ + start, static_cast<unsigned>(n_bytes), barrier);
  }
  // Rows of one matrix, or of a gate and its up, lie at constant distances: an addition instead of
  // looking each up.
  __device__ void next_pair() {
    pair_ += n_groups_;
    span_ = first_span_;
    if (pair_ < end_near_)
      row_ += pair_step_;
    else if (pair_ < end_pair_)
      locate(tables_.step_at(step_), tables_.shape_at(step_));
    else
      next_step();
  }
  // To the next step in which the warp has a span.
  __device__ void next_step() {
    while (++step_ < end_step_) {
      const TokenShape& shape = tables_.shape_at(step_);
      const TokenShare share(shape, warp_);
      if (share.group >= share.n_pairs || share.first_span >= shape.n_spans) continue;
      pair_ = share.first_pair + share.group;
      end_pair_ = share.first_pair + share.n_pairs;
      n_groups_ = share.n_groups;
      warps_per_row_ = share.warps_per_row;
      span_ = first_span_ = share.first_span;
      n_spans_ = shape.n_spans, slot_bytes_ = shape.slot_bytes(), row_bytes_ = shape.row_bytes;
      const bool is_gate_up = shape.output == TokenOutput::gate_up;
      const bool is_near = is_gate_up || shape.first_row[1] >= shape.n_rows;
      end_near_ = is_near ? end_pair_ - (is_gate_up ? 0 : shape.n_rows % kTokenRows) : 0;
      pair_step_ = n_groups_ * (is_gate_up ? 1 : kTokenRows) * row_bytes_;
      locate(tables_.step_at(step_), shape);
      return;
    }
  }
  __device__ void locate(const TokenStep& step, const TokenShape& shape) {
    is_row_ = row() == 0 || shape.output == TokenOutput::gate_up ||
              kTokenRows * pair_ + row() < shape.n_rows;
    if (!is_row_) return;
    const TokenRow at = row_of_pair(shape, pair_, row());
    row_ = step.data[at.matrix] + std::int64_t{at.row} * row_bytes_;
  }

  TokenTables tables_;
  int warp_;
  TokenRing ring_;
  RingPlace place_;
  unsigned n_freed_ = 0, freed_ = 0;  // slots, and the position up to which the ring is free again
  int step_, end_step_;
  int pair_ = 0, end_pair_ = 0, end_near_ = 0, pair_step_ = 0, n_groups_ = 0;
  int span_ = 0, first_span_ = 0, warps_per_row_ = 0, n_spans_ = 0;
  int slot_bytes_ = 0, row_bytes_ = 0;
  const std::uint8_t* row_ = nullptr;  // this lane's
  bool is_row_ = false;
};

}  // namespace haikuda::cuda
