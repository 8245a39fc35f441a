// How the kernel that decodes a token begins: which token, and its embedding. Included by token.cu
// alone.
#pragma once

#include "cuda/device/async.cuh"
#include "cuda/kernels/argmax.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/sample.cuh"
#include "cuda/kernels/token_attention.cuh"
#include "cuda/kernels/token_integers.cuh"
#include "cuda/kernels/token_types.cuh"

namespace haikuda::cuda {

// What the threads that multiply share, and what would occupy registers from phase to phase.
struct TokenState {
  XFactsOfBlock facts[2];
  unsigned first_tag;
  int n_past;
  Part part;  // the same in all layers
  ArgmaxResult best;
};

// Past positions of the token; by threads that have waited for earlier kernels.
__device__ inline int n_past_of(const TokenParams& params) {
  return *static_cast<const volatile int*>(params.position) + params.origin.n_ahead;
}

// What all blocks of the last launch found likeliest, into state.best.
__device__ inline void find_best_of_last(const TokenParams& params, TokenState& state) {
  ArgmaxResult best = no_value();
#pragma unroll 1
  for (unsigned i = threadIdx.x; i < gridDim.x; i += kTokenThreads) {
    const ArgmaxResult& of_block = params.best[i];
    best = merged(
        best, {__ldcg(&of_block.value), __ldcg(&of_block.index), __ldcg(&of_block.n_not_finite)});
  }
  best = block_argmax(best, kTokenThreads, SyncConsumers{});
  if (threadIdx.x == 0) state.best = best;
  sync_consumers();
}
// To the host; by the threads of one block that multiply.
__device__ inline void hand_on_token(const SampleBuffers& b, const TokenState& state) {
  if (state.best.n_not_finite > 0) {
    find_not_finite(b, static_cast<int>(threadIdx.x), kTokenThreads);
    sync_consumers();
  }
  if (threadIdx.x == 0) publish_token(b, b.state->chain, token_of(state.best), state.n_past);
}

// x (n_embd), in shared memory: a row of the table.
template <class Type>
__device__ void put_embedding(
    float* x, const TokenOrigin& origin, int n_embd, int token, int thread) {
  const auto put = [&]<class D>(Use<D>) __attribute__((always_inline)) {
    const RowPlanes row = row_of(origin.table, token);
#pragma unroll 1
    for (int unit = thread; unit < n_embd / kUnitElems<D>; unit += kTokenThreads) {
      float values[D::kRuns][D::kRun];
      D::decode(row, unit, values);
      float* first = x + D::first_column(unit);
#pragma unroll
      for (int r = 0; r < D::kRuns; ++r)
#pragma unroll
        for (int i = 0; i < D::kRun; ++i) first[r * D::kStride + i] = values[r][i];
    }
  };
  if constexpr (Type::kIsInteger) {
    with_integer_type<Type::kTypes>(
        origin.dtype, [&]<class OfType>(OfType)
                          __attribute__((always_inline)) { put(Use<typename OfType::Decoder>{}); });
  } else {
    put(Use<typename Type::Decoder>{});
  }
}

template <class Type>
__device__ void begin_token(const TokenParams& params,
                            const SharedBase& shared,
                            TokenState& state,
                            int thread) {
  wait_for_predecessors();
  const TokenOrigin& origin = params.origin;
  const int n_past = n_past_of(params);
  const unsigned n_done = *static_cast<const volatile unsigned*>(params.n_done);
  if (thread == 0) {
    state.n_past = n_past;
    state.part = token_part(params, n_past);
    state.first_tag = n_done * static_cast<unsigned>(params.n_layers) + 1;
  }
  auto* residual = shared.at<float4>(params.residual_start);
  const auto take = [&](auto load) {
#pragma unroll 1
    for (int group = thread; group < params.n_embd / kGroupValues; group += kTokenThreads) {
      const XGroup x = load(group);
      residual[group] = make_float4(x.low.x, x.low.y, x.high.x, x.high.y);
    }
  };
  if (origin.embeds) {
    if (origin.n_ahead > 0) find_best_of_last(params, state);
    const int token = origin.n_ahead > 0
                          ? token_of(state.best)
                          : *static_cast<const volatile int*>(origin.sample.tokens + n_past);
    auto* x = shared.at<float>(params.x_start);
    put_embedding<Type>(x, origin, params.n_embd, token, thread);
    sync_consumers();
    take([x](int group) { return load_group<Type>(x, group); });
  } else {
    take([&params](int group) { return load_group<Type, true>(params.x, group); });
  }
  auto* cos_sin = shared.at<float>(params.cos_sin_start);
  const int n_dims = params.shape.n_dims;
#pragma unroll 1
  for (int i = thread; i < n_dims; i += kTokenThreads)
    cos_sin[i] = params.cos_sin[std::int64_t{n_past} * n_dims + i];
  sync_consumers();
  // A block that has neither the most rows nor a head to attend to.
  if (origin.n_ahead > 0 && blockIdx.x == gridDim.x / 2) hand_on_token(origin.sample, state);
}

}  // namespace haikuda::cuda
