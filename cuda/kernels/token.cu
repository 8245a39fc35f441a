// One token through the whole model in one kernel, a block a multiprocessor. Blocks hand vectors to
// each other through the L2 cache, each value beside a tag (device/tagged.cuh), so that a phase
// begins for a block as soon as what it needs is there; weights, keys and values arrive all the
// while, up to a ring ahead (token_feed.cuh), and matrix units multiply them. The residual lies in
// every block, whose sums are the same everywhere. Bound by memory where matrices are large, by the
// latency of the exchange where they are small.
//
// No block overwrites what another still has to read: each has rows in every product, so that one
// that goes on to the next layer has heard of all others that they are done with this one's values.
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/token_attention.cuh"
#include "cuda/kernels/token_halves.cuh"

namespace haikuda::cuda {
namespace {

// 1 / rms(x).
__device__ float norm_factor(float squares, const TokenShape& shape, float eps) {
  return rsqrtf(squares * shape.inverse_cols + eps);
}

// The product that comes first in a phase.
__device__ int step_of(int phase) {
  const int k = phase % kTokenPhases;
  return phase / kTokenPhases * kTokenSteps + (k <= kPhaseAttend ? k : k - 1);
}

constexpr int kMostTokenThreads = kTokenThreads + kTokenFeeders * kWarpSize;

// Words from global to shared memory, by all threads.
__device__ void copy_table(void* to, const void* from, std::size_t bytes) {
  for (std::size_t i = threadIdx.x; i < bytes / 16; i += blockDim.x)
    static_cast<uint4*>(to)[i] = static_cast<const uint4*>(from)[i];
}

// The block's tables and the barriers of its ring.
__device__ void prepare_shared(const TokenParams& params) {
  std::uint8_t* shared = dynamic_shared();
  const int thread = static_cast<int>(threadIdx.x);
  const int n_steps = params.n_layers * kTokenSteps + 1;
  copy_table(shared + params.shapes_start, params.shapes, sizeof(TokenShape) * kTokenShapes);
  copy_table(shared + params.steps_start, params.steps, sizeof(TokenStep) * n_steps);
  if (thread < params.n_slots) {
    auto* barriers = reinterpret_cast<CopyBarrier*>(shared + thread * params.slot_stride() +
                                                    params.slot_bytes());
    init_barrier(barriers, kWarpSize);  // full, free: token_feed.cuh
    init_barrier(barriers + 1, kTokenWarps);
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
  for (int phase = params.first_phase; phase < params.end_phase; ++phase) {
    const int step = step_of(phase);
    if (phase % kTokenPhases != kPhaseAttend) {
      feed_step(ring, place, turn, tables.step_at(step), tables.shape_at(step), params);
      continue;
    }
    if (!knows_part) {
      wait_for_predecessors();  // who wrote the cache
      part = token_part(params, *static_cast<const volatile int*>(params.position));
      knows_part = true;
    }
    const int layer = phase / kTokenPhases;
    feed_keys<kDim>(ring, place, turn, params, layer, part);
  }
}

// Heads have up to kDim elements. kIsTimed: with marks, for a bench.
template <class Type, int kDim, int kUnits, bool kIsTimed>
__global__ __launch_bounds__(kMostTokenThreads,
                             1) void token_kernel(const __grid_constant__ TokenParams params) {
  __shared__ XFactsOfBlock facts_of[2];
  __shared__ unsigned first_tag_of_token;
  __shared__ int past_of_token;
  __shared__ Part part_of_token;  // the same in all layers
  let_dependents_start();
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarpSize;
  prepare_shared(params);
  const SharedBase shared(dynamic_shared());
  const TokenTables tables{params, shared};
  RingPlace place;  // in the ring
  if (warp >= kTokenWarps) {
    feed<kDim>(params, tables, place, warp - kTokenWarps);
    return;
  }
  wait_for_predecessors();
  {
    // Kept in shared memory, as is all that would occupy registers from phase to phase.
    const int n_past = *static_cast<const volatile int*>(params.position);
    const unsigned n_done = *static_cast<const volatile unsigned*>(params.n_done);
    if (thread == 0) {
      past_of_token = n_past;
      part_of_token = token_part(params, n_past);
      first_tag_of_token = n_done * static_cast<unsigned>(params.n_layers) + 1;
    }
    auto* residual = shared.at<float4>(params.residual_start);
    for (int group = thread; group < params.n_embd / kGroupValues; group += kTokenThreads) {
      const XGroup x = load_group<Type, true>(params.x, group);
      residual[group] = make_float4(x.low.x, x.low.y, x.high.x, x.high.y);
    }
    auto* cos_sin = shared.at<float>(params.cos_sin_start);
    const int n_dims = params.shape.n_dims;
    for (int i = thread; i < n_dims; i += kTokenThreads)
      cos_sin[i] = params.cos_sin[std::int64_t{n_past} * n_dims + i];
    sync_consumers();
  }

#pragma unroll 1
  for (int phase = params.first_phase; phase < params.end_phase; ++phase) {
    const auto mark = [&](int which) {
      if (kIsTimed && threadIdx.x == 0)
        params.times[(static_cast<int>(blockIdx.x) * params.end_phase + phase) * kTokenMarks +
                     which] = static_cast<unsigned long long>(clock64());
    };
    const TokenTables here{params, shared.again()};
    const int thread = consumer_now();
    const int layer = phase / kTokenPhases;
    const unsigned tag = first_tag_of_token + static_cast<unsigned>(layer);
    mark(0);
    if (phase % kTokenPhases == kPhaseAttend) {
      attend<Type, kDim>(params, here, place, layer, part_of_token, past_of_token, tag, thread);
      sync_consumers();  // x may take the place again
      mark(3);
      continue;
    }
    const int step = step_of(phase);
    const TokenStep& of_layer = here.step_at(step);
    const TokenShape& shape = here.shape_at(step);
    const TokenShare share(shape);
    const TokenFlow flow = flow_of(params, step);
    const unsigned in_tag = tag + static_cast<unsigned>(flow.in_layer - layer);
    TokenTarget target{};
    if (shape.output == TokenOutput::vector && thread < share.n_pairs)
      target = target_of<Type>(of_layer, shape, flow, share.first_pair + thread);

    const int n_tiles = share.n_tiles();
    const float* gamma = of_layer.gamma;
    const bool is_halves = Type::kHasRange && flow.in == params.act;
    const auto* halves = reinterpret_cast<const TaggedHalves*>(flow.in);
    TokenMultiplier<Type, kUnits> multiplier(here, shape, place, n_tiles, is_halves, thread);
    TokenRing(here).advance_far(place, n_tiles * shape.n_spans);

    auto* x = here.shared.at<std::uint8_t>(params.x_start);
    // In the first phase of a launch nobody has handed on what would be added.
    const TaggedPair* delta = phase == params.first_phase ? nullptr : flow.in;
    auto* residual = here.shared.at<float4>(params.residual_start);
    XFactsOfBlock& facts = facts_of[step % 2];  // those of the last step are still being read
    const auto stage = [&](float scale) {
      return is_halves ? stage_halves(x, halves, in_tag, shape, thread)
             : gamma == nullptr
                 ? stage_x<Type>(x, TokenX{flow.in, in_tag}, shape, gamma, scale, thread)
                 : stage_x<Type>(x, TokenResidual{delta, in_tag, residual}, shape, gamma, scale,
                                 thread);
    };
    multiplier.load_first();  // while x is on its way
    facts.tell(thread, stage(1), gamma != nullptr);
    sync_consumers();
    float scale = 1;
    if constexpr (Type::kHasRange) {
      const std::uint32_t greatest = facts.greatest_of_all();
      if (!suits_halves(greatest)) [[unlikely]] {
        if (is_halves) {
          scale = stage_levels(x, halves, shape, facts, thread);
        } else {
          scale = fitting_scale(greatest);
          delta = nullptr;  // it is in the residual
          if (scale != 1) stage(scale);
        }
        sync_consumers();
      }
    }
    mark(1);
    ArgmaxResult best = no_value();
    for (int tile = 0;;) {
      // One batch is finished while the next is multiplied.
      auto* sums = here.shared.at<float>(params.sums_start) + tile / kTokenBatch % 2 * kTokenSums;
      const int n_here = min(n_tiles - tile, kTokenBatch);
      multiplier.run(sums, n_here);
      const float factor =
          (gamma != nullptr ? norm_factor(facts.sum_of_squares(), shape, params.eps) : 1.0f) *
          (multiplier.factor() * inverse_of_power(scale));
      sync_consumers();
      if (tile + kTokenBatch >= n_tiles) mark(2);
      finish<Type>(params, of_layer, shape, share, tile * kTokenTilePairs, n_here, sums, factor,
                   target, flow, tag, thread, best);
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

__global__ void count_token_kernel(unsigned* n_done) {
  ++*n_done;
}

constexpr int kUntagThreads = 256;
__global__ __launch_bounds__(kUntagThreads) void untag_kernel(
    float2* out, const TaggedPair* values, int n_pairs, bool in_units, bool chunks_of_lane) {
  const int i = static_cast<int>(blockIdx.x * kUntagThreads + threadIdx.x);
  if (i >= n_pairs) return;
  const int place = !in_units        ? i
                    : chunks_of_lane ? place_in_units<TokenQ8_0>(i)
                                     : place_in_units<TokenF16>(i);
  out[i] = pair_of(values[place].bits);
}

__global__ __launch_bounds__(kUntagThreads) void untag_act_kernel(float* out,
                                                                  const TaggedHalves* words,
                                                                  int n_words,
                                                                  TokenActOrder order) {
  const int word = static_cast<int>(blockIdx.x * kUntagThreads + threadIdx.x);
  if (word >= n_words) return;
  const std::uint64_t bits = words[word].bits;
  const uint2 halves = halves_of(bits);
  const float2 first = __half22float2(reinterpret_cast<const __half2&>(halves.x)),
               second = __half22float2(reinterpret_cast<const __half2&>(halves.y));
  const float scale = power_of_level(level_of_halves(bits));
  const float values[4] = {first.x, first.y, second.x, second.y};
  for (int i = 0; i < 4; ++i) out[order.column(4 * word + i)] = scale * values[i];
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
template <class Type>
TokenKernel kernel_of(int head_dim, int warp_units, bool is_timed) {
  return head_dim <= 64 ? kernel_of<Type, 64>(warp_units, is_timed)
                        : kernel_of<Type, 128>(warp_units, is_timed);
}
// Null for other types.
TokenKernel kernel_for(DType dtype, int head_dim, int span_units, bool is_timed) {
  const int warp_units = span_units / kTokenSharers;
  return dtype == DType::F16    ? kernel_of<TokenF16>(head_dim, warp_units, is_timed)
         : dtype == DType::BF16 ? kernel_of<TokenBF16>(head_dim, warp_units, is_timed)
         : dtype == DType::Q8_0 ? kernel_of<TokenQ8_0>(head_dim, warp_units, is_timed)
                                : nullptr;
}

}  // namespace

std::size_t token_x_bytes(bool is_halves, int n_units) {
  return static_cast<std::size_t>(n_units * x_unit_bytes(!is_halves));
}

bool hands_on_halves(DType dtype) {
  return dtype != DType::BF16;
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

std::size_t most_token_bytes(DType dtype, int head_dim) {
  const TokenKernel kernel = kernel_for(dtype, head_dim, kTokenSharers * kTokenMostUnits, false);
  if (kernel == nullptr) return 0;
  cudaFuncAttributes attributes{};
  CUDA_CHECK(cudaFuncGetAttributes(&attributes, kernel));
  return static_cast<std::size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)) -
         attributes.sharedSizeBytes;
}

void launch_token(const TokenParams& params,
                  DType dtype,
                  int span_units,
                  int n_blocks,
                  std::size_t shared_bytes,
                  cudaStream_t stream) {
  launch_together(kernel_for(dtype, params.shape.head_dim, span_units, params.times != nullptr),
                  grid_of(n_blocks), kTokenThreads + params.n_feeders * kWarpSize, shared_bytes,
                  stream, params);
}

void count_token(unsigned* n_done, cudaStream_t stream) {
  launch(count_token_kernel, grid_of(1), 1, stream, n_done);
}

void untag(
    float* out, const TaggedPair* values, int n, bool in_units, DType dtype, cudaStream_t stream) {
  launch(untag_kernel, grid_of(ceil_div(n / 2, kUntagThreads)), kUntagThreads, stream,
         reinterpret_cast<float2*>(out), values, n / 2, in_units, dtype == DType::Q8_0);
}

void untag_act(float* out, const TaggedPair* values, int n, DType dtype, cudaStream_t stream) {
  if (!hands_on_halves(dtype)) return untag(out, values, n, true, dtype, stream);
  launch(untag_act_kernel, grid_of(ceil_div(n / 4, kUntagThreads)), kUntagThreads, stream, out,
         reinterpret_cast<const TaggedHalves*>(values), n / 4, token_act_order(dtype));
}

}  // namespace haikuda::cuda
