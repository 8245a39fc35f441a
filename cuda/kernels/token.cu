// One token through the whole model in one kernel, a block a multiprocessor. Blocks hand vectors to
// each other through the L2 cache, each value beside a tag (device/tagged.cuh), so that a phase
// begins for a block as soon as what it needs is there; weights, keys and values arrive all the
// while, up to a ring ahead (token_feed.cuh); matrix units multiply them, or integer products where
// they are quantized. The residual lies in every block, whose sums are the same everywhere. Bound
// by memory where matrices are large, by the latency of the exchange where they are small.
//
// No block overwrites what another still has to read: each has rows in every phase, so that one
// that goes on to the next layer has heard of all others that they are done with this one's values.
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/token_begin.cuh"
#include "cuda/kernels/token_halves.cuh"

namespace haikuda::cuda {
namespace {

// 1 / rms(x).
__device__ float norm_factor(float squares, const TokenShape& shape, float eps) {
  return rsqrtf(squares * shape.inverse_cols + eps);
}

// One of the phases in order: without divisions, which take as long as a load.
struct PhaseCounter {
  int phase, layer, of_layer;

  __device__ explicit PhaseCounter(int first)
      : phase(first), layer(first / kTokenPhases), of_layer(first % kTokenPhases) {}
  __device__ void operator++() {
    ++phase, ++of_layer;
    if (of_layer == kTokenPhases) of_layer = 0, ++layer;
  }
  // The block's product in it, if that is no attention.
  __device__ int step(const TokenTables& tables) const {
    static_assert(int{kPhaseOutput} == int{kTokenOutput} && int{kPhaseDown} == int{kTokenDown});
    const int step = layer * kTokenSteps + of_layer;
    const bool takes_v = of_layer == kPhaseQkv &&
                         static_cast<int>(blockIdx.x) < tables.params.n_blocks_of_v &&
                         tables.step_at(step + kTokenV).data[0] != nullptr;
    return takes_v ? step + kTokenV : step;
  }
};

// Warps that copy need few registers, and leave the others to those that multiply, which would keep
// values in local memory: a load from there takes as long as one from the L2 cache. By four warps
// at a time, in code for sm_90a alone; the compiler follows only where each role is a branch, and
// all loops that wait are left by all lanes of a warp together.
__device__ void leave_registers() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("setmaxnreg.dec.sync.aligned.u32 56;");
#endif
}
__device__ void take_registers() {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  asm volatile("setmaxnreg.inc.sync.aligned.u32 224;");
#endif
}

constexpr int kMostTokenThreads = kTokenThreads + kTokenFeeders * kWarpSize;

// Words from global to shared memory, by all threads.
__device__ void copy_table(void* to, const void* from, std::size_t bytes) {
#pragma unroll 1
  for (std::size_t i = threadIdx.x; i < bytes / 16; i += blockDim.x)
    static_cast<uint4*>(to)[i] = static_cast<const uint4*>(from)[i];
}

// The block's tables and the barriers of its ring.
__device__ void prepare_shared(const TokenParams& params) {
  std::uint8_t* shared = dynamic_shared();
  const int thread = static_cast<int>(threadIdx.x);
  copy_table(shared + params.shapes_start, params.shapes, sizeof(TokenShape) * params.n_shapes);
  copy_table(shared + params.steps_start, params.steps,
             sizeof(TokenStep) * token_steps_of(params.n_layers));
  if (thread < params.n_slots) {
    auto* barriers =
        reinterpret_cast<CopyBarrier*>(shared + thread * params.slot_stride() + params.slot_bytes);
    init_barrier(barriers, kWarpSize);  // full, free: token_feed.cuh
    init_barrier(barriers + 1, kTokenThreads);
  }
  publish_barriers();
  __syncthreads();
}

// A number of the thread among those that multiply. What few of them do begins with the third warp:
// warps that copy share the schedulers and the queues of the first two.
__device__ int consumer_now() {
  static_assert((kTokenThreads & (kTokenThreads - 1)) == 0);
  return (thread_now() + kTokenThreads - 2 * kWarpSize) & (kTokenThreads - 1);
}

// By a warp that copies: all that its block needs.
template <int kDim>
__device__ void feed(const TokenParams& params,
                     const TokenTables& tables,
                     RingPlace& place,
                     int feeder) {
  const TokenRing ring(tables);
  int turn = feeder;
  ring.advance(place, turn);
  Part part{};
  bool knows_part = false;
  for (PhaseCounter now(params.first_phase); now.phase < params.end_phase; ++now) {
    if (now.of_layer != kPhaseAttend) {
      const int step = now.step(tables);
      feed_step(ring, place, turn, tables.step_at(step), tables.shape_at(step), params.n_feeders);
      continue;
    }
    if (!knows_part) {
      wait_for_predecessors();  // who wrote the cache
      part = token_part(params, n_past_of(params));
      knows_part = true;
    }
    feed_keys<kDim>(ring, place, turn, params, now.layer, part);
  }
}

// What multiplies, for so many units of a slot a warp.
template <class Type, int kUnits>
struct MultiplierOf {
  using type = TokenMultiplier<Type, kUnits>;
};
template <IntegerTypes kTypes, int kUnits>
struct MultiplierOf<TokenIntegers<kTypes>, kUnits> {
  using type = IntegerMultiplier<kTypes, kUnits / kStepUnits>;
};

// By the warps that multiply: phase after phase.
template <class Type, int kDim, int kUnits, bool kIsTimed>
__device__ __forceinline__ void compute(const TokenParams& params,
                                        const SharedBase& shared,
                                        TokenState& state,
                                        RingPlace& place) {
#pragma unroll 1
  for (PhaseCounter now(params.first_phase); now.phase < params.end_phase; ++now) {
    const int phase = now.phase, layer = now.layer, of_layer = now.of_layer;
    const auto mark = [&](int which) {
      if (kIsTimed && threadIdx.x == 0)
        params.times[(static_cast<int>(blockIdx.x) * params.end_phase + phase) * kTokenMarks +
                     which] = static_cast<unsigned long long>(clock64());
    };
    const TokenTables here{params, shared.again()};
    const int thread = consumer_now();
    const unsigned tag = state.first_tag + static_cast<unsigned>(layer);
    mark(0);
    if (of_layer == kPhaseAttend) {
      attend<Type, kDim>(params, here, place, layer, state.part, state.n_past, tag, thread);
      sync_consumers();  // x may take the place again
      mark(3);
      continue;
    }
    const int index = now.step(here);
    const TokenStep& step = here.step_at(index);
    const TokenShape& shape = here.shape_at(index);
    const TokenFlow& flow = shape.flow;
    const float* gamma = step.gamma;
    // The thread's first, now: an answer takes long.
    XGroup factors{};
    if (gamma != nullptr)
      factors = load_group<Type>(gamma, min(thread, shape.cols / kGroupValues - 1));
    const TokenShare share(shape);
    const unsigned in_tag = tag - static_cast<unsigned>(flow.in_layers_before);
    TokenTarget target{};
    if (shape.output == TokenOutput::vector && thread < share.n_pairs)
      target = target_of<Type>(step, shape, flow, share.first_pair + thread);

    const int n_tiles = share.n_tiles();
    const bool is_halves = Type::kHasRange && shape.step == kTokenDown;
    const auto* halves = reinterpret_cast<const TaggedHalves*>(flow.in);
    typename MultiplierOf<Type, kUnits>::type multiplier(here, shape, place, n_tiles, !is_halves,
                                                         thread);
    TokenRing(here).advance_far(place, n_tiles * shape.n_spans);

    auto* x = here.shared.at<std::uint8_t>(params.x_start);
    // In the first phase of a launch nobody has handed on what would be added.
    const TaggedPair* in = phase == params.first_phase && gamma != nullptr ? nullptr : flow.in;
    const TokenX vector{in, in_tag};
    const TokenResidual sum{in, in_tag, here.shared.at<float4>(params.residual_start)};
    // Those of the last step are still being read.
    XFactsOfBlock& facts = state.facts[phase % 2];
    // x to its place, and what it is multiplied by.
    const auto put_x = [&]() __attribute__((always_inline)) {
      float scale = 1;
      if constexpr (Type::kIsInteger) {
        if (gamma != nullptr)
          facts.tell<false>(thread, stage_integers<Type>(x, sum, shape, gamma, factors, thread),
                            true);
        else
          stage_integers<Type>(x, vector, shape, gamma, factors, thread);
        sync_consumers();
      } else {
        const auto stage = [&](const TokenResidual& of_sum, float by) {
          return is_halves          ? stage_halves(x, halves, in_tag, shape, thread)
                 : gamma == nullptr ? stage_x<Type>(x, vector, shape, gamma, factors, by, thread)
                                    : stage_x<Type>(x, of_sum, shape, gamma, factors, by, thread);
        };
        facts.tell<Type::kHasRange>(thread, stage(sum, 1), gamma != nullptr);
        sync_consumers();
        if constexpr (Type::kHasRange) {
          const std::uint32_t greatest = facts.greatest_of_all();
          if (!suits_halves(greatest)) [[unlikely]] {
            if (is_halves) {
              scale = stage_levels(x, halves, shape, facts, thread);
            } else {
              scale = fitting_scale(greatest);
              if (scale != 1) stage({nullptr, in_tag, sum.residual}, scale);
            }
            sync_consumers();
          }
        }
      }
      mark(1);
      return scale;
    };
    float scale = 1;
    ArgmaxResult best = no_value();
    for (int tile = 0;;) {
      multiplier.load_first();  // while x is on its way
      if (tile == 0) scale = put_x();
      // One batch is finished while the next is multiplied.
      auto* sums = here.shared.at<float>(params.sums_start) + tile / kTokenBatch % 2 * kTokenSums;
      const int n_here = min(n_tiles - tile, kTokenBatch);
      multiplier.run(sums, n_here);
      const float factor =
          (gamma != nullptr ? norm_factor(facts.sum_of_squares(), shape, params.eps) : 1.0f) *
          (multiplier.factor() * inverse_of_power(scale));
      sync_consumers();
      if (tile + kTokenBatch >= n_tiles) mark(2);
      finish<Type>(params, step, shape, share, tile * kTokenTilePairs, n_here, sums, factor, target,
                   flow, tag, thread, best);
      tile += kTokenBatch;
      if (tile >= n_tiles) break;
      multiplier.advance(n_tiles - tile);
    }
    if (shape.output == TokenOutput::logits) {
      best = block_argmax(best, kTokenThreads, SyncConsumers{});
      if (threadIdx.x == 0) params.best[blockIdx.x] = best;
    }
    mark(3);
  }
  // Whoever computed all layers has heard of all blocks, which began by reading this.
  const bool is_done =
      params.first_phase == 0 && params.end_phase >= params.n_layers * kTokenPhases;
  if (is_done && blockIdx.x == 0 && threadIdx.x == 0)
    *params.n_done = *static_cast<const volatile unsigned*>(params.n_done) + 1;
}

// Heads have up to kDim elements. kIsTimed: with marks, for a bench.
template <class Type, int kDim, int kUnits, bool kIsTimed>
__global__ __launch_bounds__(kMostTokenThreads,
                             1) void token_kernel(const __grid_constant__ TokenParams params) {
  __shared__ TokenState state;
  let_dependents_start();
  const int thread = static_cast<int>(threadIdx.x);
  const int warp = __shfl_sync(kAllLanes, thread / kWarpSize, 0);  // known to be one for all lanes
  prepare_shared(params);
  const SharedBase shared(dynamic_shared());
  RingPlace place;  // in the ring
  if (warp >= kTokenWarps) {
    leave_registers();
    const int feeder = warp - kTokenWarps;
    if (feeder < params.n_feeders) feed<kDim>(params, {params, shared}, place, feeder);
  } else {
    take_registers();
    begin_token<Type>(params, shared, state, thread);
    compute<Type, kDim, kUnits, kIsTimed>(params, shared, state, place);
  }
}

using TokenKernel = void (*)(TokenParams);
template <class Type, int kDim>
TokenKernel kernel_of(int warp_units, bool is_timed) {
  switch (warp_units) {
    case 8:
      return token_kernel<Type, kDim, 8, false>;
    case 10:
      return token_kernel<Type, kDim, 10, false>;
    case 12:
      return is_timed ? token_kernel<Type, kDim, 12, true> : token_kernel<Type, kDim, 12, false>;
    case 14:
      return is_timed ? token_kernel<Type, kDim, 14, true> : token_kernel<Type, kDim, 14, false>;
    default:
      return token_kernel<Type, kDim, 16, false>;
  }
}
template <IntegerTypes kTypes, int kDim>
TokenKernel integer_kernel_of(bool is_timed) {
  return is_timed ? token_kernel<TokenIntegers<kTypes>, kDim, kIntegerUnits, true>
                  : token_kernel<TokenIntegers<kTypes>, kDim, kIntegerUnits, false>;
}
template <int kDim>
TokenKernel kernel_of(TokenKind kind, IntegerTypes types, int warp_units, bool is_timed) {
  return kind == TokenKind::f16          ? kernel_of<TokenF16, kDim>(warp_units, is_timed)
         : kind == TokenKind::bf16       ? kernel_of<TokenBF16, kDim>(warp_units, is_timed)
         : types == IntegerTypes::q8_0   ? integer_kernel_of<IntegerTypes::q8_0, kDim>(is_timed)
         : types == IntegerTypes::q4_k_m ? integer_kernel_of<IntegerTypes::q4_k_m, kDim>(is_timed)
                                         : integer_kernel_of<IntegerTypes::all, kDim>(is_timed);
}
TokenKernel kernel_for(
    TokenKind kind, IntegerTypes types, int head_dim, int warp_units, bool is_timed) {
  return head_dim <= 64 ? kernel_of<64>(kind, types, warp_units, is_timed)
                        : kernel_of<128>(kind, types, warp_units, is_timed);
}

}  // namespace

std::size_t token_x_bytes(TokenKind kind, bool is_halves, int n_units) {
  if (kind != TokenKind::integers)
    return static_cast<std::size_t>((n_units + kTokenSharers * kTokenMostUnits) *
                                    x_unit_bytes(!is_halves));
  return static_cast<std::size_t>((steps_of_units(n_units) + 2) * kStepXBytes);
}

std::size_t token_attention_bytes(int head_dim) {
  static_assert(sizeof(AttendedParts<64>) >=
                sizeof(float) * (kTokenThreads + kTokenSplits + 1));  // of combine_splits
  return head_dim <= 64 ? sizeof(AttendedParts<64>) : sizeof(AttendedParts<128>);
}

std::size_t token_key_tile_bytes(int head_dim) {
  return 2 * static_cast<std::size_t>(head_dim <= 64 ? KeySlot<64>::kTileBytes
                                                     : KeySlot<128>::kTileBytes);
}

int token_partial_size(int tile_heads, int head_dim) {
  return token_partial(tile_heads, head_dim);
}

std::size_t most_token_bytes(TokenKind kind, int head_dim) {
  const TokenKernel kernel = kernel_for(kind, IntegerTypes::all, head_dim, kTokenMostUnits, false);
  cudaFuncAttributes attributes{};
  CUDA_CHECK(cudaFuncGetAttributes(&attributes, kernel));
  return static_cast<std::size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)) -
         attributes.sharedSizeBytes;
}

void launch_token(const TokenParams& params,
                  TokenKind kind,
                  IntegerTypes types,
                  int warp_units,
                  int n_blocks,
                  std::size_t shared_bytes,
                  cudaStream_t stream) {
  launch_together(
      kernel_for(kind, types, params.shape.head_dim, warp_units, params.times != nullptr),
      grid_of(n_blocks), kMostTokenThreads, shared_bytes, stream, params);
}

}  // namespace haikuda::cuda
