// One token through the whole model in one kernel, a block a multiprocessor. Blocks hand vectors to
// each other through the L2 cache, each value beside a tag (device/tagged.cuh), so that a phase
// begins for a block as soon as what it needs is there; weights arrive all the while, up to a ring
// ahead (token_feed.cuh). The residual lies in every block, whose sums are the same everywhere.
// Bound by memory where matrices are large, by the latency of the exchange where they are small.
//
// No block overwrites what another still has to read: each has rows in every product, so that one
// that goes on to the next layer has heard of all others that they are done with this one's values.
#include "cuda/kernels/launch.cuh"
#include "cuda/kernels/token_attention.cuh"

namespace haikuda::cuda {
namespace {

// 1 / rms(x), from the sums of squares of all warps.
__device__ float norm_factor(const float* squares_of_warp, int cols, float eps) {
  float sum = 0;
#pragma unroll
  for (int w = 0; w < kTokenWarps; ++w) sum += squares_of_warp[w];
  return rsqrtf(sum / static_cast<float>(cols) + eps);
}

// The product that comes first in a phase.
__device__ int step_of(int phase) {
  const int k = phase % kTokenPhases;
  return phase / kTokenPhases * kTokenSteps + (k <= kPhaseAttend ? k : k - 1);
}

// What a phase reads and writes. Vectors of a layer have its tag; the first steps of a layer read
// what the one before has left.
struct TokenFlow {
  const TaggedPair* in;
  TaggedPair* out;
  int in_layer;
};
__device__ TokenFlow flow_of(const TokenParams& params, int step) {
  const int layer = step / kTokenSteps;
  switch (step % kTokenSteps) {
    case kTokenQkv:  // of the head too
      return {params.ffn_delta, params.qkv, layer - 1};
    case kTokenOutput:
      return {params.attended, params.attn_delta, layer};
    case kTokenGateUp:
      return {params.attn_delta, params.act, layer};
    default:
      return {params.act, params.ffn_delta, layer};
  }
}

constexpr int kAllTokenThreads = kTokenThreads + kTokenFeeders * kWarpSize;

// Words from global to shared memory, by all threads.
__device__ void copy_table(void* to, const void* from, std::size_t bytes) {
  for (std::size_t i = threadIdx.x; i < bytes / 16; i += kAllTokenThreads)
    static_cast<uint4*>(to)[i] = static_cast<const uint4*>(from)[i];
}

// The block's tables, rings and barriers.
__device__ void prepare_shared(const TokenParams& params) {
  std::uint8_t* shared = dynamic_shared();
  const int thread = static_cast<int>(threadIdx.x);
  const int n_steps = params.n_layers * kTokenSteps + 1;
  copy_table(shared + params.shapes_start, params.shapes, sizeof(TokenShape) * kTokenShapes);
  copy_table(shared + params.steps_start, params.steps, sizeof(TokenStep) * n_steps);
  if (thread < kTokenWarps * kTokenBarriers) {
    const bool is_full = thread % kTokenBarriers < kTokenSlots;  // or free: token_feed.cuh
    init_barrier(reinterpret_cast<CopyBarrier*>(shared + params.barriers_start) + thread,
                 is_full ? kTokenRows : kWarpSize);
  }
  publish_barriers();
  __syncthreads();
}

template <class Dot>
__global__ __launch_bounds__(kAllTokenThreads,
                             1) void token_kernel(const __grid_constant__ TokenParams params) {
  __shared__ float squares_of[2][kTokenWarps];
  let_dependents_start();
  const int block = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x);
  const int warp = thread / kWarpSize, lane = thread % kWarpSize;
  prepare_shared(params);
  const SharedBase shared(dynamic_shared());
  const TokenTables tables{params, shared};
  int step = step_of(params.first_phase);
  if (warp >= kTokenWarps) {
    TokenFeed(tables, warp - kTokenWarps, step, step_of(params.end_phase)).run();
    return;
  }
  TokenDrain weights(tables, warp);
  auto* residual = shared.at<float4>(params.residual_start);
  wait_for_predecessors();
  const unsigned n_done = *static_cast<const volatile unsigned*>(params.n_done);
  const unsigned first_tag = n_done * static_cast<unsigned>(params.n_layers) + 1;
  const int n_past = *static_cast<const volatile int*>(params.position);
  for (int v = thread; v < params.n_embd / 4; v += kTokenThreads)
    residual[v] = load_activations(params.x + 4 * v);

  bool is_first = true;  // of the launch: nobody has handed on what would be added to the residual
  for (int phase = params.first_phase; phase < params.end_phase; ++phase) {
    const auto mark = [&](int which) {
      if (params.times != nullptr && thread == 0)
        params.times[(block * params.end_phase + phase) * kTokenMarks + which] =
            static_cast<unsigned long long>(clock64());
    };
    mark(0);
    if (phase % kTokenPhases == kPhaseAttend) {
      const int layer = phase / kTokenPhases;
      const unsigned tag = first_tag + static_cast<unsigned>(layer);
      auto* place = shared.at<std::uint8_t>(params.x_start);
      const bool has_small_heads = params.shape.head_dim <= 64;
      // Said to be unlikely so that the registers of the products stay where they are.
      if (n_past > params.keys_alone) [[unlikely]] {
        has_small_heads ? attend_split<8>(params, place, layer, n_past, tag)
                        : attend_split<16>(params, place, layer, n_past, tag);
        sync_consumers();  // x may take the place again
      } else if (block < params.shape.n_heads) [[unlikely]] {
        has_small_heads ? attend_alone<8>(params, place, layer, n_past, tag)
                        : attend_alone<16>(params, place, layer, n_past, tag);
        sync_consumers();
      }
      mark(3);
      continue;
    }
    const TokenStep& of_layer = tables.step_at(step);
    const TokenShape& shape = tables.shape_at(step);
    const TokenShare share(shape, warp);
    const TokenFlow flow = flow_of(params, step);
    const unsigned in_tag = first_tag + static_cast<unsigned>(flow.in_layer);
    const float2 biases = biases_of(of_layer, shape, share, thread);

    const StagedX staged{shared.at<uint4>(params.x_start), nullptr, 0};
    const float* gamma = of_layer.gamma;
    const GammaAhead gamma_ahead(gamma, shape.cols);
    float squares = 0;
    if (gamma == nullptr)
      squares = stage_f32<Dot::kOrder>(staged, TokenX{flow.in, in_tag, shape.cols}, gamma_ahead);
    else
      squares = stage_f32<Dot::kOrder>(
          staged, TokenResidual{is_first ? nullptr : flow.in, in_tag, shape.cols, gamma, residual},
          gamma_ahead);
    is_first = false;
    squares = warp_sum(squares);
    float* squares_now = squares_of[step % 2];  // those of the last phase are still being read
    if (lane == 0) squares_now[warp] = squares;
    sync_consumers();
    mark(1);
    auto* sums = shared.at<float>(params.sums_start);
    const int slot_bytes = shape.slot_bytes();
    const int n_spans = share.first_span < shape.n_spans ? shape.n_spans : 0;
    for (int pair = share.group; n_spans > 0 && pair < share.n_pairs; pair += share.n_groups) {
      float of_row[kTokenRows] = {};
      for (int span = share.first_span; span < n_spans; span += share.warps_per_row) {
        const std::uint8_t* slot = weights.next(slot_bytes);
        multiply_span<Dot>(of_row, slot, shape, staged, span * shape.span);
        weights.free(slot_bytes);
      }
#pragma unroll
      for (int s = 0; s < kTokenRows; ++s) {
        const float sum = warp_sum(of_row[s]);
        if (lane == 0) sums[(kTokenRows * pair + s) * share.warps_per_row + share.first_span] = sum;
      }
    }
    sync_consumers();
    mark(2);
    const float factor = gamma != nullptr ? norm_factor(squares_now, shape.cols, params.eps) : 1.0f;
    finish(params, of_layer, shape, share, sums, factor, biases, flow.out,
           first_tag + static_cast<unsigned>(step / kTokenSteps));
    ++step;
    mark(3);
  }
  // Whoever computed all layers has heard of all blocks, which began by reading this.
  const bool is_done =
      params.first_phase == 0 && params.end_phase >= params.n_layers * kTokenPhases;
  if (is_done && block == 0 && thread == 0) *params.n_done = n_done + 1;
}

__global__ void count_token_kernel(unsigned* n_done) {
  ++*n_done;
}

constexpr int kUntagThreads = 256;
__global__ __launch_bounds__(kUntagThreads) void untag_kernel(float2* out,
                                                              const TaggedPair* values,
                                                              int n_pairs) {
  const int i = static_cast<int>(blockIdx.x * kUntagThreads + threadIdx.x);
  if (i < n_pairs) out[i] = pair_of(values[i].bits);
}

// Null for other types.
auto kernel_for(DType dtype) -> void (*)(TokenParams) {
  return dtype == DType::F16    ? token_kernel<DotF16>
         : dtype == DType::BF16 ? token_kernel<DotBF16>
                                : nullptr;
}

}  // namespace

std::size_t token_x_bytes(int cols) {
  static_assert(DotF16::kOrder == DotBF16::kOrder);
  return sizeof(float4) * static_cast<std::size_t>(n_x_slots(DotF16::kOrder, cols / 4));
}

std::size_t token_attention_bytes(int head_dim) {
  using attend_token_parts::Layout;
  return head_dim <= 64 ? Layout<8, kTokenHeads>::kSharedBytes
                        : Layout<16, kTokenHeads>::kSharedBytes;
}

int token_partial_size(int tile_heads, int head_dim) {
  return token_partial(tile_heads, head_dim);
}

std::size_t most_token_bytes(DType dtype) {
  const auto kernel = kernel_for(dtype);
  if (kernel == nullptr) return 0;
  cudaFuncAttributes attributes{};
  CUDA_CHECK(cudaFuncGetAttributes(&attributes, kernel));
  return static_cast<std::size_t>(device_attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin)) -
         attributes.sharedSizeBytes;
}

void launch_token(const TokenParams& params,
                  DType dtype,
                  int n_blocks,
                  std::size_t shared_bytes,
                  cudaStream_t stream) {
  launch_together(kernel_for(dtype), grid_of(n_blocks), kAllTokenThreads, shared_bytes, stream,
                  params);
}

void count_token(unsigned* n_done, cudaStream_t stream) {
  launch(count_token_kernel, grid_of(1), 1, stream, n_done);
}

void untag(float* out, const TaggedPair* values, int n, cudaStream_t stream) {
  launch(untag_kernel, grid_of(ceil_div(n / 2, kUntagThreads)), kUntagThreads, stream,
         reinterpret_cast<float2*>(out), values, n / 2);
}

}  // namespace haikuda::cuda
