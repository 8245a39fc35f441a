// A product of the kernel that decodes a token: tiles multiplied as their weights arrive, sums
// finished and handed on. Included by token.cu alone.
#pragma once

#include "cuda/kernels/argmax.cuh"
#include "cuda/kernels/token_types.cuh"

namespace haikuda::cuda {

// A warp's part of a step. Four warps share a slot, neighbouring units each; two groups of four
// take slots in turn. What does not depend on x is computed before x is there.
template <class Type>
class TokenMultiplier {
 public:
  __device__ TokenMultiplier(const TokenTables& tables, const TokenShape& shape)
      : ring_(tables), shape_(shape) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize, lane = lane_now();
    const int in_group = warp % kTokenSharers, first = in_group * shape.warp_units;
    group_ = warp / kTokenSharers;
    n_spans_ = shape.n_spans;
    last_ = shape.last_units - first - 1;
    const int row_bytes = tables.params.slot_row_bytes;
    w_ = Type::offset_of_lane(row_bytes) + first * Type::kUnitBytes;
    side_ = lane / 4 * row_bytes + tables.params.slot_side_start + first * Type::kSideBytes;
    x_ = tables.shared.template at<std::uint8_t>(tables.params.x_start + x_offset_of_lane() +
                                                 first * kXUnitBytes);
    row_ = (n_spans_ == 1 ? in_group : warp) * kTokenBatchRows + lane / 4;
  }

  // sums (token_sum_parts, kTokenBatchRows): the rows of so many tiles, from the ring's place on,
  // which moves on.
  __device__ void run(float* sums, RingPlace& place, int n_tiles) const {
    switch (shape_.warp_units) {
      case 8:
        run_units<8>(sums, place, n_tiles);
        break;
      case 7:
        run_units<7>(sums, place, n_tiles);
        break;
      case 6:
        run_units<6>(sums, place, n_tiles);
        break;
      case 5:
        run_units<5>(sums, place, n_tiles);
        break;
      default:
        run_units<4>(sums, place, n_tiles);
    }
    place.advance_far(n_tiles * n_spans_, ring_.n_slots);
  }

 private:
  static __device__ int lane_now() { return static_cast<int>(threadIdx.x) % kWarpSize; }

  template <int kUnits>
  __device__ void run_units(float* sums, RingPlace at, int n_tiles) const {
    constexpr int kXStep = kTokenSharers * kUnits * kXUnitBytes;
    const int n_spans = n_spans_;
    const int tile_step = n_spans == 1 ? kTokenGroups : 0, span_step = kTokenGroups - tile_step;
    int tile = 0, span = group_;
    at.advance(group_, ring_.n_slots);
    if (span >= n_spans) span = 0, ++tile;
    // A row's products with chunks 0 and 2 are in one lane, those with 1 and 3 in the next.
    const bool is_first = lane_now() % 4 == 0;
    float of_row = 0;
#pragma unroll 1
    while (tile < n_tiles) {
      uint2 x[kUnits];
#pragma unroll
      for (int i = 0; i < kUnits; ++i)
        x[i] = *reinterpret_cast<const uint2*>(x_ + span * kXStep + i * kXUnitBytes);
      ring_.wait_until_full(at);
      const std::uint8_t* slot = ring_.bytes(at);
      float sum[4];
      Type::multiply(sum, slot + w_, slot + side_, span == n_spans - 1 ? last_ : kUnits - 1, x);
      ring_.say_free(at, kTokenGroups);
      at.advance(kTokenGroups, ring_.n_slots);
      const int of_tile = tile;
      tile += tile_step, span += span_step;
      if (span >= n_spans) span -= n_spans, ++tile;
      of_row += is_first ? sum[0] + sum[1] : sum[2] + sum[3];
      if (tile == of_tile) continue;
      of_row += __shfl_xor_sync(kAllLanes, of_row, 1);
      if (is_first) sums[row_ + of_tile * kTokenTileRows] = of_row;
      of_row = 0;
    }
  }

  TokenRing ring_;
  const TokenShape& shape_;
  int group_, n_spans_;
  int last_;      // unit of the warp in a tile's last slot
  int w_, side_;  // where in a slot the lane begins to read weights, and scales
  const std::uint8_t* x_;
  int row_;
};

// How many parts a row's sum has: of warps that share a slot, and of both groups where a tile has
// more than one.
__device__ inline int token_sum_parts(const TokenShape& shape) {
  return shape.n_spans == 1 ? kTokenSharers : kTokenWarps;
}

// What a step reads and writes. Vectors of a layer have its tag; the first steps of a layer read
// what the one before has left.
struct TokenFlow {
  const TaggedPair* in;
  TaggedPair* out;
  int in_layer;
  bool out_in_units;  // or in order
};
__device__ inline TokenFlow flow_of(const TokenParams& params, int step) {
  const int layer = step / kTokenSteps;
  switch (step % kTokenSteps) {
    case kTokenQkv:  // of the head too
      return {params.ffn_delta, params.qkv, layer - 1, false};
    case kTokenOutput:
      return {params.attended, params.attn_delta, layer, true};
    case kTokenGateUp:
      return {params.attn_delta, params.act, layer, true};
    default:
      return {params.act, params.ffn_delta, layer, true};
  }
}

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
  return {flow.out + (flow.out_in_units ? place_in_units<Type>(out) : out),
          bias == nullptr ? make_float2(0, 0) : make_float2(bias[row], bias[row + 1])};
}

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
                       ArgmaxResult& best) {
  const int thread = static_cast<int>(threadIdx.x);
  const bool is_whole = token_sum_parts(shape) == kTokenWarps;
  const int n_pairs = min(share.n_pairs - first, n_tiles * kTokenTilePairs);
  const auto total = [&](int row) {
    float sum = 0;
#pragma unroll
    for (int part = 0; part < kTokenSharers; ++part) sum += sums[part * kTokenBatchRows + row];
    if (is_whole) {
#pragma unroll
      for (int part = kTokenSharers; part < kTokenWarps; ++part)
        sum += sums[part * kTokenBatchRows + row];
    }
    return sum * factor;
  };
  switch (shape.output) {
    case TokenOutput::vector:
      for (int pair = thread; pair < n_pairs; pair += kTokenThreads) {
        if (first + pair != thread)
          target = target_of<Type>(step, shape, flow, share.first_pair + first + pair);
        publish_pair(target.out, target.biases.x + total(2 * pair),
                     target.biases.y + total(2 * pair + 1), tag);
      }
      return;
    case TokenOutput::gate_up: {
      const auto act = [&](int pair) {
        const float gate = total(2 * pair);
        return __fdividef(gate, 1.0f + __expf(-gate)) * total(2 * pair + 1);
      };
      for (int two = thread; two < n_pairs / 2; two += kTokenThreads)
        publish_pair(flow.out + place_in_units<Type>((share.first_pair + first) / 2 + two),
                     act(2 * two), act(2 * two + 1), tag);
      return;
    }
    case TokenOutput::logits:
      for (int r = thread; r < kTokenRows * n_pairs; r += kTokenThreads) {
        const int row = kTokenRows * (share.first_pair + first) + r;
        if (row >= shape.n_rows) continue;
        const float logit = total(r);
        params.logits[row] = logit;
        best = merged(best, logit, row);
      }
      return;
  }
}

}  // namespace haikuda::cuda
