// Products with quantized weights in the kernel that decodes a token: a warp's part of a step.
// Included by token.cu alone.
#pragma once

#include "cuda/kernels/token_integer_types.cuh"

namespace haikuda::cuda {

// As TokenMultiplier: two warps share a slot (TokenCut), kSteps at a time, a chunk. What need not
// be kept in registers while x is awaited is computed where it is used.
template <IntegerTypes kTypes, int kSteps>
class IntegerMultiplier {
 public:
  // `place`: where in the ring the step's slots begin.
  __device__ IntegerMultiplier(const TokenTables& tables,
                               const TokenShape& shape,
                               const RingPlace& place,
                               int n_tiles,
                               bool,
                               int thread)
      : ring_(tables),
        shape_(shape),
        x_(tables.shared.template at<std::uint8_t>(tables.params.x_start)),
        thread_(thread) {
    const int group = thread / kWarpSize / kTokenSharers, n_spans = shape.n_spans;
    first_ = {place, 0, group, 0, 0, 0};
    ring_.advance(first_.at, group);
#pragma unroll 1
    for (; first_.span >= n_spans; first_.span -= n_spans) ++first_.tile;
    has_first_ = first_.tile < n_tiles;
    enter_slot(first_, Part(shape, thread), shape.cut == TokenCut::whole_chunks);
  }

  // Waits for the first weights.
  __device__ __forceinline__ void load_first() {
    if (!has_first_) return;
    with_integer_type<kTypes>(
        shape_.dtype, [this]<class Type>(Type) __attribute__((always_inline)) {
          ring_.wait_until_full(first_.at);
          load<Type, TokenCut::any>(first_, Part(shape_, thread_));
        });
  }
  // sums (token_sum_parts, kTokenBatchRows): the rows of so many tiles.
  __device__ __forceinline__ void run(float* sums, int n_tiles) {
    if (!has_first_) return;
    const Part part(shape_, thread_);
    with_integer_type<kTypes>(
        shape_.dtype, [&]<class Type>(Type) __attribute__((always_inline)) {
          if (shape_.cut == TokenCut::whole_chunks)
            run_slots<Type, TokenCut::whole_chunks>(sums, n_tiles, part);
          else if (Type::kOrder == 0 && shape_.cut == TokenCut::whole_rows)
            run_slots<Type, TokenCut::whole_rows>(sums, n_tiles, part);
          else
            run_slots<Type, TokenCut::any>(sums, n_tiles, part);
        });
  }
  __device__ float factor() const {
    return 1;
  }
  // To the next batch of so many tiles, after one of kTokenBatch.
  __device__ void advance(int n_tiles) {
    ring_.advance_far(first_.at, kTokenBatch * shape_.n_spans);
    has_first_ = first_.tile < n_tiles;
  }

 private:
  // A chunk of a slot: the first of its steps, and the end of those of the warp.
  struct Visit {
    RingPlace at;
    int tile, span, step, end_step, turn;
  };
  // The warp's part of all slots, and the lane's.
  struct Part {
    int n_spans, span_units, last_units;
    int span_steps, in_group;
    int lane;  // of its row

    __device__ Part(const TokenShape& shape, int thread)
        : n_spans(shape.n_spans),
          span_units(shape.span_units),
          last_units(shape.last_units),
          span_steps(steps_of_units(shape.span_units)),
          in_group(thread / kWarpSize % kTokenSharers),
          lane(thread % 4) {}
    __device__ int units_of(int span) const {
      return span == n_spans - 1 ? last_units : span_units;
    }
    __device__ int steps_of(int span) const { return steps_of_units(units_of(span)); }
  };
  // Where a lane reads x: its column where that is of its unit, or zeros, always the same.
  template <int kOrder>
  struct XOfLane {
    const std::uint8_t *low, *high, *low_facts, *high_facts;
    int low_half, column_step;
    int nothing;  // a step of zeros

    __device__ XOfLane(const std::uint8_t* x, int n_units, int thread) {
      const int column = thread % kWarpSize / 4, unit = thread % 4;
      nothing = steps_of_units(n_units);
      const bool is_mine = column / 2 == unit;
      column_step = is_mine ? kStepXBytes : 0;
      const int of_low = low_columns<kOrder>(unit), of_high = of_low + (1 << kOrder);
      const auto words = [&](int columns) {
        return x + (is_mine ? columns % 2 * (kStepFacts / 2) + columns / 2 * 32 + column % 2 * 16
                            : nothing * kStepXBytes);
      };
      low = words(of_low), high = words(of_high);
      low_facts = x + kStepFacts + of_low / 2 * 16, high_facts = x + kStepFacts + of_high / 2 * 16;
      low_half = of_low % 2;
    }
  };

  static __device__ void enter_slot(Visit& visit, const Part& part, bool by_chunks) {
    int half = (part.span_steps + kTokenSharers - 1) / kTokenSharers;
    int is_second = part.in_group, end = kTokenSharers * half;
    if (by_chunks) {
      end = part.units_of(visit.span) / kStepUnits;
      half = (end / kSteps + 1) / kTokenSharers * kSteps;
      is_second ^= visit.turn;
    }
    visit.step = is_second ? half : 0;
    visit.end_step = is_second ? end : half;
  }
  // Whether it leaves the slot.
  template <TokenCut kCut>
  __device__ bool go_on(Visit& visit, const Part& part) const {
    if constexpr (kCut == TokenCut::whole_rows) {
      ring_.advance(visit.at, kTokenGroups);
      visit.tile += kTokenGroups;
    } else {
      visit.step += kSteps;
      if (visit.step < visit.end_step) return false;
      ring_.advance(visit.at, kTokenGroups);
      visit.turn ^= 1;
      visit.span += kTokenGroups;
#pragma unroll 1
      for (; visit.span >= part.n_spans; visit.span -= part.n_spans) ++visit.tile;
      enter_slot(visit, part, kCut == TokenCut::whole_chunks);
    }
    return true;
  }
  // The lane's, of step j of a chunk: the last there is where there is none. From the chunk's first
  // on, where all chunks are whole.
  template <TokenCut kCut>
  static __device__ int unit_of(const Visit& visit, const Part& part, int j) {
    if constexpr (kCut == TokenCut::any)
      return min((visit.step + j) * kStepUnits + part.lane, part.units_of(visit.span) - 1);
    const int unit = j * kStepUnits + part.lane;
    if (kCut == TokenCut::whole_chunks || j < kSteps - 1) return unit;
    return min(unit, part.last_units - 1 - visit.step * kStepUnits);
  }
  template <class Type, TokenCut kCut>
  __device__ __forceinline__ void load(const Visit& visit, const Part& part) {
    const std::uint8_t* slot = ring_.bytes(visit.at);
    const int row_in_tile = thread_ % kWarpSize / 4;
    RowInSlot row;
#pragma unroll
    for (int p = 0; p < kMaxPlanes; ++p) {
      const TokenPlane plane = shape_.planes[p];
      row.plane[p] = slot + (plane.start + row_in_tile * plane.stride);
    }
    if constexpr (kCut != TokenCut::any) {
      constexpr PlaneBytes kBytes = Type::kPlaneBytes;
      const int blocks = visit.step / 2;
      row.plane[0] += blocks * kBytes.first, row.plane[1] += blocks * kBytes.second;
      row.plane[2] += blocks * kBytes.third, row.plane[3] += blocks * kBytes.fourth;
    }
    row.shift = kCut == TokenCut::whole_rows ? 0 : visit.span * part.span_units / 4 % 16;
#pragma unroll
    for (int j = 0; j < kSteps; ++j) Type::load(raw_[j], row, unit_of<kCut>(visit, part, j));
  }
  // Of a step, or of nothing.
  template <class Type, TokenCut kCut>
  __device__ __forceinline__ void load_x(StepX& x,
                                         const Visit& visit,
                                         const Part& part,
                                         const XOfLane<Type::kOrder>& of_lane,
                                         int j) const {
    int at = (kCut == TokenCut::whole_rows ? 0 : visit.span * part.span_steps) + visit.step + j;
    if (kCut == TokenCut::any || (kCut == TokenCut::whole_rows && j == kSteps - 1)) {
      const bool is_there = visit.step + j < min(visit.end_step, part.steps_of(visit.span));
      at = is_there ? at : of_lane.nothing;
    }
    load_words(x.low, of_lane.low + at * of_lane.column_step);
    load_words(x.high, of_lane.high + at * of_lane.column_step);
    const int facts_at = at * kStepXBytes;
    if constexpr (Type::kOrder != 0) {
      // Halves of two 32, both even or both odd.
      const float4 low = *reinterpret_cast<const float4*>(of_lane.low_facts + facts_at),
                   high = *reinterpret_cast<const float4*>(of_lane.high_facts + facts_at);
      const bool is_odd = of_lane.low_half != 0;
      x.low_scale = low.x, x.low_sum = is_odd ? low.z : low.y;
      x.high_scale = high.x, x.high_sum = is_odd ? high.z : high.y;
    } else if constexpr (Type::kWantsSums) {
      const float4 facts = *reinterpret_cast<const float4*>(of_lane.low_facts + facts_at);
      x.low_scale = facts.x, x.low_sum = facts.y, x.high_sum = facts.z;
    } else {
      x.low_scale = *reinterpret_cast<const float*>(of_lane.low_facts + facts_at);
    }
  }

  template <class Type, TokenCut kCut>
  __device__ __forceinline__ void run_slots(float* sums, int n_tiles, const Part& part) {
    constexpr bool kIsRow = kCut == TokenCut::whole_rows;
    const XOfLane<Type::kOrder> of_lane(x_, shape_.cols / kTokenUnit, thread_);
    Visit now = first_;
    StepX x[kSteps];
    const auto load_all_x = [&]() __attribute__((always_inline)) {
#pragma unroll
      for (int j = 0; j < kSteps; ++j) load_x<Type, kCut>(x[j], now, part, of_lane, j);
    };
    if constexpr (kIsRow) load_all_x();
    const int group = thread_ / kWarpSize / kTokenSharers;
    sums += (kTokenSharers * (part.n_spans > kTokenGroups ? group : 0) + part.in_group) *
                kTokenBatchRows +
            thread_ % kWarpSize / 4;
    float of_row = 0;
#pragma unroll 1
    while (true) {
      if constexpr (!kIsRow) load_all_x();
      float sum = 0;
#pragma unroll
      for (int j = 0; j < kSteps; ++j)
        sum += Type::multiply(raw_[j], x[j], unit_of<kCut>(now, part, j));
      Visit next = now;
      const bool ends_slot = go_on<kCut>(next, part);
      if (ends_slot) ring_.say_free(now.at, kTokenGroups);
      const bool has_next = next.tile < n_tiles;
      if (has_next) {
        if (ends_slot) ring_.wait_until_full(next.at);
        load<Type, kCut>(next, part);
      }
      of_row += sum;
      if (ends_slot && (kIsRow || part.n_spans <= kTokenGroups || next.tile != now.tile)) {
        of_row += __shfl_xor_sync(kAllLanes, of_row, 1);
        of_row += __shfl_xor_sync(kAllLanes, of_row, 2);
        const int of_span = kIsRow || part.n_spans > kTokenGroups ? 0 : now.span;
        if (part.lane == 0)
          sums[of_span * (kTokenSharers * kTokenBatchRows) + now.tile * kTokenTileRows] = of_row;
        of_row = 0;
      }
      if (!has_next) return;
      now = next;
    }
  }

  TokenRing ring_;
  const TokenShape& shape_;
  const std::uint8_t* x_;
  int thread_;
  bool has_first_;
  Visit first_;
  RawUnit raw_[kSteps];
};

}  // namespace haikuda::cuda
