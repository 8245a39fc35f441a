// A product of the kernel that decodes a token: tiles multiplied as their weights arrive, sums
// finished and handed on. Included by token.cu alone.
#pragma once

#include "cuda/kernels/argmax.cuh"
#include "cuda/kernels/token_x.cuh"

namespace haikuda::cuda {

// A warp's part of a step. Four or all eight warps share a slot, neighbouring units each; two
// groups of four take tiles in turn. What does not depend on x is computed before x is there.
template <class Type>
class TokenMultiplier {
 public:
  __device__ TokenMultiplier(const TokenTables& tables, const TokenShape& shape)
      : ring_(tables), shape_(shape) {
    const int warp = static_cast<int>(threadIdx.x) / kWarpSize, lane = lane_now();
    const int log2 = shape.warps_of_slot_log2, in_group = warp & ((1 << log2) - 1);
    group_ = warp >> log2, n_groups_ = kTokenWarps >> log2;
    const int most = shape.warp_units, first = in_group * most;
    n_ = min(most, shape.span_units - first);
    n_last_ = min(n_, shape.last_units - first);
    w_ = lane % kTokenTileRows * tables.params.slot_row_bytes + lane / 8 * 16 + first * kUnitBytes;
    x_ = tables.shared.template at<std::uint8_t>(tables.params.x_start + x_offset_of_lane() +
                                                 first * kXUnitBytes);
    row_ = in_group * kTokenBatchRows + lane / 4;
  }

  // sums (warps of a slot, kTokenBatchRows): the rows of so many tiles, from the ring's place on,
  // which moves on.
  __device__ void run(float* sums, RingPlace& place, int n_tiles) const {
    const int n_spans = shape_.n_spans, x_step = shape_.span_units * kXUnitBytes;
    const int n_groups = n_groups_;
    // A row's products with chunks 0 and 2 are in one lane, those with 1 and 3 in the next.
    const bool is_first = lane_now() % 4 == 0;
    RingPlace at = place;
    at.advance(group_, ring_.n_slots);
#pragma unroll 1
    for (int tile = group_; tile < n_tiles; tile += n_groups) {
      float even[4] = {}, odd[4] = {};
      const std::uint8_t* x = x_;
#pragma unroll 1
      for (int left = n_spans; left > 0; --left, x += x_step) {
        ring_.wait_until_full(at);
        multiply(even, odd, ring_.bytes(at) + w_, x, left == 1 ? n_last_ : n_);
        ring_.say_free(at, n_groups);
        at.advance(n_groups, ring_.n_slots);
      }
      float of_row = is_first ? (even[0] + odd[0]) + (even[1] + odd[1])
                              : (even[2] + odd[2]) + (even[3] + odd[3]);
      of_row += __shfl_xor_sync(kAllLanes, of_row, 1);
      if (is_first) sums[row_ + tile * kTokenTileRows] = of_row;
    }
    place.advance_far(n_tiles * n_spans, ring_.n_slots);
  }

 private:
  static constexpr int kUnitBytes = kTokenUnit * 2, kMost = kTokenSpan / 4, kHalf = kMost / 2;

  static __device__ int lane_now() {
    return static_cast<int>(threadIdx.x) % kWarpSize;
  }
  static __device__ void multiply(float (&even)[4],
                                  float (&odd)[4],
                                  const std::uint8_t* weights,
                                  const std::uint8_t* x,
                                  int n) {
    std::uint32_t w[kMost][4];
    uint2 of_x[kMost];
    const auto load = [&](int i) {
      if (i >= n) return;
      load_tiles(w[i], weights + i * kUnitBytes);
      of_x[i] = *reinterpret_cast<const uint2*>(x + i * kXUnitBytes);
    };
    const auto add = [&](int i) {
      if (i < n) Type::multiply(i % 2 == 0 ? even : odd, w[i], of_x[i]);
    };
#pragma unroll
    for (int i = 0; i < kHalf; ++i) load(i);
    if (n > kHalf) {
#pragma unroll
      for (int i = kHalf; i < kMost; ++i) load(i);
    }
#pragma unroll
    for (int i = 0; i < kHalf; ++i) add(i);
    if (n > kHalf) {
#pragma unroll
      for (int i = kHalf; i < kMost; ++i) add(i);
    }
  }

  TokenRing ring_;
  const TokenShape& shape_;
  int group_, n_groups_;
  int n_, n_last_;  // units of a slot, of the last of a row
  int w_;           // where in a slot the lane begins to read
  const std::uint8_t* x_;
  int row_;
};

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
__device__ inline TokenTarget target_of(const TokenStep& step,
                                        const TokenShape& shape,
                                        const TokenFlow& flow,
                                        int pair) {
  const TokenRow at = row_of_pair(shape, pair, 0);
  const int out = (shape.first_out[at.matrix] + at.row) / 2;
  const float* bias = step.bias[at.matrix];
  return {flow.out + (flow.out_in_units ? place_in_units(out) : out),
          bias == nullptr ? make_float2(0, 0) : make_float2(bias[at.row], bias[at.row + 1])};
}

// The rest of a product, for a batch of the block's pairs, from `first` on: `sums` are those of
// TokenMultiplier, `factor` is what they are to be multiplied by, `target` that of the thread's
// pair of the first batch. `best` becomes the greatest logit that the thread has seen.
__device__ inline void finish(const TokenParams& params,
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
  const bool is_whole = shape.warps_of_slot_log2 == 3;
  const int n_pairs = min(share.n_pairs - first, n_tiles * kTokenTilePairs);
  const auto total = [&](int row) {
    float sum = 0;
#pragma unroll
    for (int part = 0; part < 4; ++part) sum += sums[part * kTokenBatchRows + row];
    if (is_whole) {
#pragma unroll
      for (int part = 4; part < kTokenWarps; ++part) sum += sums[part * kTokenBatchRows + row];
    }
    return sum * factor;
  };
  switch (shape.output) {
    case TokenOutput::vector:
      for (int pair = thread; pair < n_pairs; pair += kTokenThreads) {
        if (first + pair != thread)
          target = target_of(step, shape, flow, share.first_pair + first + pair);
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
        publish_pair(flow.out + place_in_units((share.first_pair + first) / 2 + two), act(2 * two),
                     act(2 * two + 1), tag);
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
