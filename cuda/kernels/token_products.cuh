// A product of the kernel that decodes a token: tiles multiplied as their weights arrive, sums
// finished and handed on. Included by token.cu alone.
#pragma once

#include "cuda/device/tagged_halves.cuh"
#include "cuda/kernels/argmax.cuh"
#include "cuda/kernels/token_types.cuh"

namespace haikuda::cuda {

// Sums of a row that warps leave in shared memory: a part for each warp that shares a slot, of each
// span, or of each group of warps where these take several spans of a row.
__device__ inline int token_sum_parts(const TokenShape& shape) {
  return kTokenSharers * min(shape.n_spans, kTokenGroups);
}

// A warp's part of a step. Two warps share a slot, kUnits neighbouring units each; four groups of
// two take slots in turn. Shared memory gives 128 bytes a cycle, so that much has to be asked for
// at a time: all of a warp's part of a slot, before it finishes the sums of the one before. Few
// instructions, which take four cycles each, and fewer branches, which take thirty.
template <class Type, int kUnits>
class TokenMultiplier {
 public:
  // `place`: where in the ring the step's slots begin.
  __device__ TokenMultiplier(const TokenTables& tables,
                             const TokenShape& shape,
                             const RingPlace& place,
                             int n_tiles,
                             bool has_low,
                             int thread)
      : ring_(tables) {
    const int warp = thread / kWarpSize, lane = thread % kWarpSize;
    const int in_group = warp % kTokenSharers, group = warp / kTokenSharers;
    const int first_unit = in_group * kUnits;
    n_spans_ = shape.n_spans;
    last_ = shape.last_units - first_unit - 1;
    is_even_ = kTokenGroups % n_spans_ == 0 && shape.last_units == kTokenSharers * kUnits;
    tile_step_ = n_spans_ == 1 ? kTokenGroups : kTokenGroups / n_spans_;
    at_weights_ =
        Type::offset_of_lane(lane, shape.planes[0].stride) + first_unit * Type::kUnitBytes;
    has_low_ = has_low;
    const int x = has_low_ ? x_offset_of_lane<true>(lane) + first_unit * x_unit_bytes(true)
                           : x_offset_of_lane<false>(lane) + first_unit * x_unit_bytes(false);
    x_ = tables.shared.template at<std::uint8_t>(tables.params.x_start + x);
    is_first_lane_ = lane % 4 == 0;
    enter_first_slot(first_, ring_, place, group, n_spans_);
    has_first_ = first_.tile < n_tiles;
    is_even_ = is_even_ && has_low_;
    const int part = n_spans_ > kTokenGroups ? group : is_even_ ? first_.span : 0;
    row_ = (kTokenSharers * part + in_group) * kTokenBatchRows + lane / 4;
  }

  // Waits for the first weights.
  __device__ __forceinline__ void load_first() {
    if (has_first_)
      wait_and_load<false>(first_);
    else
      weights_ = {};
  }
  // sums (token_sum_parts, kTokenBatchRows): the rows of so many tiles.
  __device__ __forceinline__ void run(float* sums, int n_tiles) {
    if (!has_first_) return;
    if (is_even_)
      run_slots<true, true>(sums, n_tiles);
    else if (!Type::kHasRange || has_low_)
      run_slots<false, true>(sums, n_tiles);
    else
      run_slots<false, false>(sums, n_tiles);
  }
  // Of sums: halves are in two columns each.
  __device__ float factor() const { return has_low_ ? 1.0f : 0.5f; }
  // To the next batch of so many tiles, after one of kTokenBatch.
  __device__ void advance(int n_tiles) {
    ring_.advance_far(first_.at, kTokenBatch * n_spans_);
    has_first_ = first_.tile < n_tiles;
  }

 private:
  // A slot.
  struct Visit {
    RingPlace at;
    int tile, span;
  };
  // kIsEven: the warp's slots are of the same span, and all of its units have weights.
  template <bool kIsEven>
  __device__ void go_on(Visit& visit) const {
    ring_.advance(visit.at, kTokenGroups);
    if constexpr (kIsEven) {
      visit.tile += tile_step_;
    } else {
      visit.span += kTokenGroups;
#pragma unroll 1
      for (; visit.span >= n_spans_; visit.span -= n_spans_) ++visit.tile;
    }
  }
  template <bool kIsEven>
  __device__ void wait_and_load(const Visit& visit) {
    ring_.wait_until_full(visit.at);
    const std::uint8_t* slot = ring_.bytes(visit.at);
    const int last = kIsEven || visit.span != n_spans_ - 1 ? kUnits - 1 : last_;
    Type::load(weights_, slot + at_weights_, last);
  }
  template <bool kHasLow>
  __device__ void load_x(uint2 (&x)[kUnits], int span) const {
    const std::uint8_t* from = x_ + span * (kTokenSharers * kUnits * x_unit_bytes(kHasLow));
#pragma unroll
    for (int i = 0; i < kUnits; ++i)
      x[i] = *reinterpret_cast<const uint2*>(from + i * x_unit_bytes(kHasLow));
  }

  template <bool kIsEven, bool kHasLow>
  __device__ void run_slots(float* sums, int n_tiles) {
    Visit now = first_;
    uint2 x[kUnits];
    load_x<kHasLow>(x, now.span);
    float of_row = 0;
#pragma unroll 1
    while (true) {
      float sum[4];
      Type::multiply(sum, weights_, x);
      ring_.say_free(now.at, kTokenGroups);
      Visit next = now;
      go_on<kIsEven>(next);
      const bool has_next = next.tile < n_tiles;
      if (has_next) {
        if constexpr (!kIsEven) load_x<kHasLow>(x, next.span);
        wait_and_load<kIsEven>(next);
      }
      // A row's products with chunks 0 and 2 are in one lane, those with 1 and 3 in the next.
      of_row += is_first_lane_ ? sum[0] + sum[1] : sum[2] + sum[3];
      if (kIsEven || n_spans_ <= kTokenGroups || next.tile != now.tile) {
        of_row += __shfl_xor_sync(kAllLanes, of_row, 1);
        const int part = kIsEven || n_spans_ > kTokenGroups ? 0 : now.span;
        if (is_first_lane_)
          sums[row_ + part * (kTokenSharers * kTokenBatchRows) + now.tile * kTokenTileRows] =
              of_row;
        of_row = 0;
      }
      if (!has_next) return;
      now = next;
    }
  }

  TokenRing ring_;
  int n_spans_, tile_step_;
  int last_;        // unit of the warp in a tile's last slot
  int at_weights_;  // where in a slot the lane begins to read
  const std::uint8_t* x_;
  int row_;
  bool is_first_lane_, has_low_, is_even_, has_first_;
  Visit first_;
  typename Type::template Weights<kUnits> weights_;
};

// Where a thread's pair of rows goes, and their biases: known before x is there.
struct TokenTarget {
  TaggedPair* out;
  float2 biases;
};
// Of a vector.
template <class Type>
__device__ TokenTarget
target_of(const TokenStep& step, const TokenShape& shape, const TokenFlow& flow, int pair) {
  const int of_all = kTokenRows * pair;
  const int matrix = (of_all >= shape.first_row[1]) + (of_all >= shape.first_row[2]);
  const int row = of_all - shape.first_row[matrix];
  const int out = (shape.first_out[matrix] + row) / 2;
  const float* bias = step.bias[matrix];
  return {flow.out + (flow.out_in_units ? place_of_pair<Type>(out) : out),
          bias == nullptr ? make_float2(0, 0) : make_float2(bias[row], bias[row + 1])};
}

struct PairOfRows : float2 {
  __device__ void operator+=(const PairOfRows& b) { x += b.x, y += b.y; }
  __device__ void operator*=(float factor) { x *= factor, y *= factor; }
};
struct TwoPairsOfRows : float4 {
  __device__ void operator+=(const TwoPairsOfRows& b) { x += b.x, y += b.y, z += b.z, w += b.w; }
  __device__ void operator*=(float factor) { x *= factor, y *= factor, z *= factor, w *= factor; }
};

// The rest of a product, for a batch of the block's pairs, from `first` on: `sums` are those of
// TokenMultiplier, `factor` is what they are to be multiplied by, `target` that of the thread's
// pair of the first batch. `best` becomes the greatest logit that the thread has seen.
template <class Type>
__device__ void finish(const TokenParams& params,
                       const TokenStep& step,
                       const TokenShape& shape,
                       const TokenShare& share,
                       int first,
                       int n_tiles,
                       const float* sums,
                       float factor,
                       TokenTarget target,
                       const TokenFlow& flow,
                       unsigned tag,
                       int thread,
                       ArgmaxResult& best) {
  const int n_parts = token_sum_parts(shape);
  const int n_pairs = min(share.n_pairs - first, n_tiles * kTokenTilePairs);
  // Of as many neighbouring rows as T has floats.
  const auto total = [&]<class T>(T& rows, int index) {
    const T* from = reinterpret_cast<const T*>(sums) + index;
    constexpr int kStep = kTokenBatchRows * sizeof(float) / sizeof(T);
    rows = from[0];
#pragma unroll
    for (int part = 1; part < kTokenSharers; ++part) rows += from[part * kStep];
    if (n_parts > kTokenSharers) {
#pragma unroll
      for (int part = kTokenSharers; part < kTokenWarps; ++part)
        if (part < n_parts) rows += from[part * kStep];
    }
    rows *= factor;
  };
  switch (shape.output) {
    case TokenOutput::vector:
#pragma unroll 1
      for (int pair = thread; pair < n_pairs; pair += kTokenThreads) {
        if (first + pair != thread)
          target = target_of<Type>(step, shape, flow, share.first_pair + first + pair);
        PairOfRows rows;
        total(rows, pair);
        publish_pair(target.out, target.biases.x + rows.x, target.biases.y + rows.y, tag);
      }
      return;
    case TokenOutput::gate_up: {
      const auto act = [](float gate, float up) {
        return __fdividef(gate, 1.0f + __expf(-gate)) * up;
      };
      const int first_out = (share.first_pair + first) / 2;
      // Warp by warp: what it hands on together has one level.
#pragma unroll 1
      for (int two = thread; two - thread % kWarpSize < n_pairs / 2; two += kTokenThreads) {
        TwoPairsOfRows rows;
        total(rows, min(two, n_pairs / 2 - 1));
        const float2 values = make_float2(act(rows.x, rows.y), act(rows.z, rows.w));
        if constexpr (Type::kHasRange) {
          const WarpHalves halves(values, tag);
          if (two < n_pairs / 2 && two % 2 == 0)
            halves.publish(reinterpret_cast<TaggedHalves*>(flow.out) + (first_out + two) / 2);
        } else if (two < n_pairs / 2) {
          publish_pair(flow.out + place_of_pair<Type>(first_out + two), values.x, values.y, tag);
        }
      }
      return;
    }
    case TokenOutput::logits:
#pragma unroll 1
      for (int r = thread; r < kTokenRows * n_pairs; r += kTokenThreads) {
        const int row = kTokenRows * (share.first_pair + first) + r;
        if (row >= shape.n_rows) continue;
        float logit;
        total(logit, r);
        params.logits[row] = logit;
        best = merged(best, logit, row);
      }
      return;
  }
}

}  // namespace haikuda::cuda
