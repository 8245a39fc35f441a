// Products with quantized weights in the kernel that decodes a token: a warp's part of a step.
// Included by token.cu alone.
#pragma once

#include "cuda/kernels/token_integer_types.cuh"

namespace haikuda::cuda {

// As TokenMultiplier: two warps share a slot (TokenCut), kSteps at a time, a chunk. Two warps that
// take turns cannot hide that an instruction waits four cycles for the one before and a branch
// thirty: so there are few of both between products. What need not be kept in registers while x is
// awaited is computed where it is used.
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
    enter_first_slot(first_, ring_, place, thread / kWarpSize / kTokenSharers, shape.n_spans);
    has_first_ = first_.tile < n_tiles;
    const Part part(shape, thread);
    part.enter_span(first_);
  }

  // Waits for the first weights.
  __device__ __forceinline__ void load_first() {
    if (!has_first_) return;
    with_integer_type<kTypes>(
        shape_.dtype, [this]<class Type>(Type) __attribute__((always_inline)) {
          ring_.wait_until_full(first_.at);
          const Part part(shape_, thread_);
          const auto load_as = [&]<TokenCut kCut>() __attribute__((always_inline)) {
            load<Type, kCut>(first_, part, Rows<Type, kCut>(shape_, part));
          };
          if (kHasAnyCut<Type> && shape_.cut == TokenCut::any)
            load_as.template operator()<TokenCut::any>();
          else
            load_as.template operator()<TokenCut::whole_rows>();
        });
  }
  // sums (token_sum_parts, kTokenBatchRows): the rows of so many tiles.
  __device__ __forceinline__ void run(float* sums, int n_tiles) {
    if (!has_first_) return;
    const Part part(shape_, thread_);
    with_integer_type<kTypes>(
        shape_.dtype, [&]<class Type>(Type) __attribute__((always_inline)) {
          if (!kHasAnyCut<Type> || shape_.cut == TokenCut::whole_steps)
            run_slots<Type, TokenCut::whole_steps>(sums, n_tiles, part);
          else if (shape_.cut == TokenCut::whole_rows)
            run_slots<Type, TokenCut::whole_rows>(sums, n_tiles, part);
          else
            run_slots<Type, TokenCut::any>(sums, n_tiles, part);
        });
  }
  __device__ float factor() const { return 1; }
  // To the next batch of so many tiles, after one of kTokenBatch.
  __device__ void advance(int n_tiles) {
    ring_.advance_far(first_.at, kTokenBatch * shape_.n_spans);
    has_first_ = first_.tile < n_tiles;
  }

 private:
  // Rows of blocks of 256 are whole steps.
  template <class Type>
  static constexpr bool kHasAnyCut = Type::kOrder == 0;
  // A chunk of a slot: the first of its steps, and the end of those of the warp.
  struct Visit {
    RingPlace at;
    int tile, span, step, end_step;
  };
  // The warp's part of all slots, and the lane's.
  struct Part {
    int n_spans, span_units, last_units, span_steps;
    int turn_tiles, turn_spans;
    int begin, end, last_begin, last_end;  // steps of a span, of the last
    int row, unit;                         // of a tile's first four, of a step

    __device__ Part(const TokenShape& shape, int thread)
        : n_spans(shape.n_spans),
          span_units(shape.span_units),
          last_units(shape.last_units),
          span_steps(shape.span_steps),
          turn_tiles(shape.turn_tiles),
          turn_spans(shape.turn_spans),
          row(thread % kWarpSize / kStepUnits),
          unit(thread % kStepUnits) {
      const bool is_second = thread / kWarpSize % kTokenSharers != 0;
      const auto take_half = [is_second](int n_steps, int& begin, int& end) {
        const int half = (n_steps + kTokenSharers - 1) / kTokenSharers;
        begin = is_second ? half : 0, end = is_second ? n_steps : half;
      };
      take_half(shape.span_steps, begin, end);
      take_half(shape.last_steps, last_begin, last_end);
    }
    __device__ bool is_last(int span) const { return span == n_spans - 1; }
    __device__ int units_of(int span) const { return is_last(span) ? last_units : span_units; }
    __device__ void enter_span(Visit& visit) const {
      visit.step = is_last(visit.span) ? last_begin : begin;
      visit.end_step = is_last(visit.span) ? last_end : end;
    }
  };
  static constexpr int kRows = kTokenTileRows / (kWarpSize / kStepUnits);  // of a lane
  static constexpr int kRowsApart = kTokenTileRows / kRows;

  // Where in a slot the first unit that a lane may take of its first row is, and how far it is to
  // that of its next row. It takes the unit-th of each step, but any in TokenCut::any.
  template <class Type, TokenCut kCut>
  struct Rows {
    int at[kRows][kMaxPlanes];

    __device__ Rows(const TokenShape& shape, const Part& part) {
#pragma unroll
      for (int p = 0; p < kMaxPlanes; ++p) {
        const TokenPlane plane = shape.planes[p];
        const int of_unit = kCut != TokenCut::any ? Type::offset(p, part.unit) : 0;
#pragma unroll
        for (int row = 0; row < kRows; ++row)
          at[row][p] = plane.start + (part.row + row * kRowsApart) * plane.stride + of_unit;
      }
    }
  };
  // Where in a step a lane reads x.
  template <class Type>
  struct XOfLane {
    const std::uint8_t *low, *high, *low_facts, *high_facts;
    bool is_odd;  // the lower half of what lies in the order of columns

    __device__ XOfLane(const std::uint8_t* x, int unit) {
      const int first = low_columns<Type::kOrder>(unit), second = first + (1 << Type::kOrder);
      const bool change = Type::halves_change(unit) != 0;
      low = x + place_of_columns(change ? second : first);
      high = x + place_of_columns(change ? first : second);
      low_facts = x + kStepFacts + first / 2 * 16, high_facts = x + kStepFacts + second / 2 * 16;
      is_odd = first % 2 != 0;
    }
  };

  // The warp's next chunk, and whether that is of another slot.
  template <TokenCut kCut>
  __device__ Visit after(const Visit& now, const Part& part, bool& ends_slot) const {
    Visit next = now;
    ring_.advance(next.at, kTokenGroups);
    if constexpr (kCut == TokenCut::whole_rows) {
      ends_slot = true;
      next.tile += kTokenGroups;
    } else {
      next.tile += part.turn_tiles, next.span += part.turn_spans;
      const bool is_over = next.span >= part.n_spans;
      next.tile += is_over ? 1 : 0;
      next.span -= is_over ? part.n_spans : 0;
      part.enter_span(next);
      const int step = now.step + kSteps;
      ends_slot = step >= now.end_step;
      next.at.at = ends_slot ? next.at.at : now.at.at;
      next.at.parity = ends_slot ? next.at.parity : now.at.parity;
      next.tile = ends_slot ? next.tile : now.tile;
      next.span = ends_slot ? next.span : now.span;
      next.step = ends_slot ? next.step : step;
      next.end_step = ends_slot ? next.end_step : now.end_step;
    }
    return next;
  }
  // Of steps that a chunk does not have whatever lies there, or the last unit there is: what comes
  // out is not counted, or x is zero.
  template <class Type, TokenCut kCut>
  __device__ __forceinline__ void load(const Visit& visit,
                                       const Part& part,
                                       const Rows<Type, kCut>& rows) {
    const std::uint8_t* slot = ring_.bytes(visit.at);
#pragma unroll
    for (int j = 0; j < kSteps; ++j) {
      int step = visit.step + j, in_step = part.unit;
      if constexpr (kCut == TokenCut::any) {
        const int unit = min(step * kStepUnits + in_step, part.units_of(visit.span) - 1);
        step = unit / kStepUnits, in_step = unit % kStepUnits;
      } else if (kCut == TokenCut::whole_rows && j == kSteps - 1) {
        if (step * kStepUnits + in_step >= part.units_of(visit.span)) --step;
      }
#pragma unroll
      for (int row = 0; row < kRows; ++row) {
        UnitInSlot unit;
#pragma unroll
        for (int p = 0; p < kMaxPlanes; ++p) {
          unit.plane[p] = slot + (rows.at[row][p] + step * Type::plane_bytes(p));
          if constexpr (kCut == TokenCut::any) unit.plane[p] += Type::offset(p, in_step);
        }
        // Spans begin at multiples of 16 bytes of each plane but the fourth.
        constexpr int kFourth = Type::plane_bytes(3);
        if constexpr (kFourth != 0) unit.plane[3] += visit.span * part.span_steps * kFourth % 16;
        Type::load(raw_[j][row], unit, in_step);
      }
    }
  }
  // Of a step, or of nothing.
  template <class Type, TokenCut kCut>
  __device__ __forceinline__ void load_x(
      UnitX& x, const Visit& visit, const Part& part, const XOfLane<Type>& lane, int j) const {
    int at = visit.step + j;
    if constexpr (kCut != TokenCut::whole_rows) at += visit.span * part.span_steps;
    if (kCut == TokenCut::any && visit.step + j >= visit.end_step)
      at = steps_of_units(shape_.cols / kTokenUnit);
    at *= kStepXBytes;
#pragma unroll
    for (int p = 0; p < kActivationPlanes; ++p) {
      load_words(x.low[p], lane.low + at + p * kStepPlane);
      load_words(x.high[p], lane.high + at + p * kStepPlane);
    }
    if constexpr (Type::kOrder != 0) {
      // Halves of two 32, both even or both odd.
      const float4 low = *reinterpret_cast<const float4*>(lane.low_facts + at),
                   high = *reinterpret_cast<const float4*>(lane.high_facts + at);
      x.low_scale = low.x, x.low_sum = lane.is_odd ? low.z : low.y;
      x.high_scale = high.x, x.high_sum = lane.is_odd ? high.z : high.y;
    } else if constexpr (Type::kWantsSums) {
      const float4 facts = *reinterpret_cast<const float4*>(lane.low_facts + at);
      x.low_scale = facts.x, x.low_sum = facts.y, x.high_sum = facts.z;
    } else {
      x.low_scale = *reinterpret_cast<const float*>(lane.low_facts + at);
    }
  }

  template <class Type, TokenCut kCut>
  __device__ __forceinline__ void run_slots(float* sums, int n_tiles, const Part& part) {
    const Rows<Type, kCut> rows(shape_, part);
    const XOfLane<Type> lane(x_, part.unit);
    Visit now = first_;
    UnitX x[kSteps];
    const auto load_all_x = [&](const Visit& visit) __attribute__((always_inline)) {
#pragma unroll
      for (int j = 0; j < kSteps; ++j) load_x<Type, kCut>(x[j], visit, part, lane, j);
    };
    load_all_x(now);
    // Of a step's lanes the first half ends with the sum of the first row.
    static_assert(kRows == 2);
    const bool is_first_half = part.unit < kStepUnits / 2;
    const int warp = thread_ / kWarpSize;
    const bool by_groups = part.n_spans > kTokenGroups;
    sums += (kTokenSharers * (by_groups ? warp / kTokenSharers : 0) + warp % kTokenSharers) *
                kTokenBatchRows +
            part.row + (is_first_half ? 0 : kRowsApart);
    float of_row[kRows] = {};
    const auto put_sums = [&](const Visit& visit) __attribute__((always_inline)) {
      float mine = is_first_half ? of_row[0] : of_row[1];
      mine += __shfl_xor_sync(kAllLanes, is_first_half ? of_row[1] : of_row[0], kStepUnits / 2);
#pragma unroll
      for (int offset = kStepUnits / 4; offset > 0; offset /= 2)
        mine += __shfl_xor_sync(kAllLanes, mine, offset);
      const int of_span = kCut == TokenCut::whole_rows || by_groups ? 0 : visit.span;
      if (part.unit % (kStepUnits / 2) == 0)
        sums[of_span * (kTokenSharers * kTokenBatchRows) + visit.tile * kTokenTileRows] = mine;
      of_row[0] = of_row[1] = 0;
    };
#pragma unroll 1
    while (true) {
#pragma unroll
      for (int j = 0; j < kSteps; ++j) {
        const bool counts = kCut != TokenCut::whole_steps || now.step + j < now.end_step;
#pragma unroll
        for (int row = 0; row < kRows; ++row) {
          const float product = Type::multiply(raw_[j][row], x[j], part.unit);
          of_row[row] += counts ? product : 0.0f;
        }
      }
      bool ends_slot;
      const Visit next = after<kCut>(now, part, ends_slot);
      if (ends_slot) ring_.say_free(now.at, kTokenGroups);
      if (next.tile >= n_tiles) break;
      ring_.wait_until_full(next.at);
      if constexpr (kCut != TokenCut::whole_rows) load_all_x(next);
      load<Type, kCut>(next, part, rows);
      if (kCut == TokenCut::whole_rows || next.tile != now.tile) put_sums(now);
      now = next;
    }
    put_sums(now);
  }

  TokenRing ring_;
  const TokenShape& shape_;
  const std::uint8_t* x_;
  int thread_;
  bool has_first_;
  Visit first_;
  RawUnit raw_[kSteps][kRows];
};

}  // namespace haikuda::cuda
