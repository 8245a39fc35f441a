// A product of the kernel that decodes a token: x waited for and staged, rows multiplied as their
// weights arrive, sums finished and handed on. Included by token.cu alone.
#pragma once

#include "cuda/device/dots.cuh"
#include "cuda/device/tagged.cuh"
#include "cuda/kernels/argmax.cuh"
#include "cuda/kernels/token_feed.cuh"

namespace haikuda::cuda {

// x of a product (device/staged_x.cuh): a vector that other blocks hand on.
struct TokenX {
  static constexpr int kLoadsAhead = 5;
  static constexpr bool kMayHaveGamma = false;
  using Asked = AskedValues;

  const TaggedPair* in;
  unsigned tag;
  int cols;
  const float* gamma = nullptr;

  static __device__ constexpr int n_threads() { return kTokenThreads; }
  __device__ Asked ask(int v) const { return ask_values(in + 2 * v); }
  __device__ float4 receive(const Asked& asked, int v) const {
    return wait_for_values(asked, in + 2 * v, tag);
  }
};
// The residual, to which such a vector is added where `in` is not null. Every block keeps the whole
// of it, in shared memory; a thread touches its own elements alone.
struct TokenResidual {
  static constexpr int kLoadsAhead = 2;
  static constexpr bool kMayHaveGamma = true;
  using Asked = AskedValues;

  const TaggedPair* in;
  unsigned tag;
  int cols;
  const float* gamma;
  float4* residual;  // (cols / 4)

  static __device__ constexpr int n_threads() { return kTokenThreads; }
  __device__ Asked ask(int v) const { return in != nullptr ? ask_values(in + 2 * v) : Asked{}; }
  __device__ float4 receive(const Asked& asked, int v) const {
    const float4 old = residual[v];
    if (in == nullptr) return old;
    const float4 x = wait_for_values(asked, in + 2 * v, tag);
    return residual[v] = make_float4(old.x + x.x, old.y + x.y, old.z + x.z, old.w + x.w);
  }
};

// of_row += the products of a span of both rows of a pair, two chunks together.
template <class Dot>
__device__ void multiply_span(float (&of_row)[kTokenRows],
                              const std::uint8_t* slot,
                              const TokenShape& shape,
                              const StagedX& x,
                              int first_chunk) {
  static_assert(kMainBytes == kTokenChunk);
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize, span = shape.span;
  const int n_units = shape.cols / Dot::kUnitElems, last_chunk = (n_units - 1) / kChunkUnits;
#pragma unroll 1
  for (int first = 0; first < span && first_chunk + first <= last_chunk; first += 2) {
#pragma unroll
    for (int c = first; c < first + 2; ++c) {
      // Beyond the end something is multiplied and dropped: no branch, so that loads run ahead.
      const int chunk = min(first_chunk + c, last_chunk);
      const bool is_there = (first_chunk + c) * kChunkUnits + lane < n_units;
      const typename Dot::X of_x = Dot::load_x(x, chunk, lane);
#pragma unroll
      for (int s = 0; s < kTokenRows; ++s) {
        const std::uint8_t* main = slot + (s * span + c) * kTokenChunk;
        const float dot = Dot::dot(main, nullptr, of_x, chunk, lane);
        of_row[s] += is_there ? dot : 0.0f;
      }
    }
  }
}

// Of both rows of a block's pair.
__device__ inline float2 biases_of(const TokenStep& step,
                                   const TokenShape& shape,
                                   const TokenShare& share,
                                   int pair) {
  if (shape.output != TokenOutput::vector || pair >= share.n_pairs) return make_float2(0, 0);
  const TokenRow place = row_of_pair(shape, share.first_pair + pair, 0);
  const float* bias = step.bias[place.matrix];
  return bias == nullptr ? make_float2(0, 0) : make_float2(bias[place.row], bias[place.row + 1]);
}

// The rest of a product, for each pair of the block: `factor` is 1 / rms(x), `biases` those of the
// thread's first pair, which were asked for long before.
__device__ inline void finish(const TokenParams& params,
                              const TokenStep& step,
                              const TokenShape& shape,
                              const TokenShare& share,
                              const float* sums,
                              float factor,
                              float2 biases,
                              TaggedPair* out,
                              unsigned tag) {
  const int thread = static_cast<int>(threadIdx.x);
  const auto total = [&](int row) { return sum_of_parts(sums, share.warps_per_row, row) * factor; };
  switch (shape.output) {
    case TokenOutput::vector:
      for (int pair = thread; pair < share.n_pairs; pair += kTokenThreads) {
        const TokenRow place = row_of_pair(shape, share.first_pair + pair, 0);
        if (pair >= kTokenThreads) biases = biases_of(step, shape, share, pair);
        publish_pair(out + (shape.first_out[place.matrix] + place.row) / 2,
                     biases.x + total(2 * pair), biases.y + total(2 * pair + 1), tag);
      }
      return;
    case TokenOutput::gate_up: {
      const auto act = [&](int pair) {
        const float gate = total(2 * pair);
        return gate / (1.0f + expf(-gate)) * total(2 * pair + 1);
      };
      for (int two = thread; two < share.n_pairs / 2; two += kTokenThreads)
        publish_pair(out + share.first_pair / 2 + two, act(2 * two), act(2 * two + 1), tag);
      return;
    }
    case TokenOutput::logits: {
      ArgmaxResult best = no_value();
      for (int r = thread; r < kTokenRows * share.n_pairs; r += kTokenThreads) {
        const int row = kTokenRows * share.first_pair + r;
        if (row >= shape.n_rows) continue;
        const float logit = total(r);
        params.logits[row] = logit;
        best = merged(best, logit, row);
      }
      best = block_argmax(best, kTokenThreads, SyncConsumers{});
      if (thread == 0) params.best[blockIdx.x] = best;
      return;
    }
  }
}

}  // namespace haikuda::cuda
