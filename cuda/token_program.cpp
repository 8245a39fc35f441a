#include "cuda/token_program.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "cuda/kernels/gemv_params.h"
#include "cuda/layout.h"
#include "cuda/token_shapes.h"
#include "cuda/token_slots.h"
#include "model/model.h"

namespace haikuda::cuda {
namespace {

constexpr int kMostBlocks = 256;

// ---- blocks

struct Tiles {
  int n, heads;  // of a KV head, query heads of each
};
Tiles tiles_of(const ModelConfig& c) {
  const int group = c.n_heads / c.n_kv_heads;
  const int n = ceil_of(group, kTokenHeads);
  return {n, ceil_of(group, n)};
}

// Each has rows in every phase (kernels/token.cu says why).
int blocks_for(const ModelConfig& c) {
  return std::min({n_multiprocessors(), kMostBlocks, kMaxGemvBlocks,
                   pairs_of(c.q_size() + c.kv_size()), pairs_of(c.n_embd), c.n_ff / 4,
                   pairs_of(c.n_vocab)});
}

// Whole units of every row and pairs of every vector; a block for each head, and for each tile.
bool sizes_suit(const ModelConfig& c, int n_blocks) {
  const bool has_units =
      c.n_embd % kTokenUnit == 0 && c.n_ff % kTokenUnit == 0 && c.q_size() % kTokenUnit == 0;
  return has_units && c.rope.n_dims % 4 == 0 && c.head_dim % 8 == 0 && c.head_dim <= kTokenDim &&
         n_blocks >= std::max({2, c.n_heads, c.n_kv_heads * tiles_of(c).n});
}

int size_of(const ModelConfig& c, TokenVector vector) {
  switch (vector) {
    case TokenVector::q:
    case TokenVector::attended:
      return c.q_size();
    case TokenVector::k:
    case TokenVector::v:
      return c.kv_size();
    case TokenVector::act:
      return c.n_ff;
    default:
      return c.n_embd;
  }
}

// Places one after the other.
class Layout {
 public:
  explicit Layout(std::size_t alignment) : alignment_(alignment) {}
  std::size_t take(std::size_t bytes) {
    return std::exchange(end_, aligned(end_ + bytes, alignment_));
  }
  std::size_t end() const { return end_; }

 private:
  std::size_t alignment_, end_ = 0;
};

TokenFlow flow_of(TokenStepOfLayer step, const TokenParams& params) {
  switch (step) {
    case kTokenOutput:
      return {params.attended, params.attn_delta, 0, true};
    case kTokenGateUp:
      return {params.attn_delta, params.act, 0, true};
    case kTokenDown:
      return {params.act, params.ffn_delta, 0, true};
    default:  // q, k and v; the head, which writes logits
      return {params.ffn_delta, params.qkv, 1, false};
  }
}

}  // namespace

// Where things lie in storage_, for so many blocks.
struct TokenProgram::Places {
  std::size_t shapes, steps, norms, n_done, vectors[kTokenVectors], partial, end;

  Places(const ModelConfig& c, int n_blocks) {
    const auto n = [](int x) { return static_cast<std::size_t>(x); };
    Layout layout(256);
    shapes = layout.take(kTokenMostShapes * sizeof(TokenShape));
    steps = layout.take(n(token_steps_of(c.n_layers)) * sizeof(TokenStep));
    norms = layout.take(n(c.n_layers) * sizeof(TokenNorms));
    n_done = layout.take(sizeof(unsigned));
    // q, k and v follow each other without gaps: they are one vector to who writes them.
    const auto bytes = [&](TokenVector v) { return n(size_of(c, v)) / 2 * sizeof(TaggedPair); };
    std::size_t qkv = layout.take(bytes(TokenVector::q) + 2 * bytes(TokenVector::k));
    for (int i = 0; i < kTokenVectors; ++i) {
      const auto v = static_cast<TokenVector>(i);
      vectors[i] = v <= TokenVector::v ? std::exchange(qkv, qkv + bytes(v)) : layout.take(bytes(v));
    }
    partial =
        layout.take(n(n_blocks * token_partial_size(kTokenHeads, kTokenDim)) * sizeof(Tagged));
    end = layout.end();
  }
};

std::size_t TokenProgram::bytes_needed(const ModelConfig& config) {
  return Places(config, kMostBlocks).end;
}

std::unique_ptr<TokenProgram> TokenProgram::make(const Model& model,
                                                 const DeviceWeights& weights,
                                                 const KvCache& cache,
                                                 const TokenBuffers& buffers,
                                                 const Stream& stream) {
  const ModelConfig& c = model.config;
  const int n_blocks = blocks_for(c);
  const bool has_kernel = device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9 &&
                          device_attribute(cudaDevAttrCooperativeLaunch) != 0;
  if (!has_kernel || kind_of(weights) == TokenKind::none || !sizes_suit(c, n_blocks))
    return nullptr;
  std::unique_ptr<TokenProgram> program(
      new TokenProgram(model, weights, cache, buffers, n_blocks, stream));
  if (program->shared_bytes_ == 0) return nullptr;
  return program;
}

TokenProgram::TokenProgram(const Model& model,
                           const DeviceWeights& weights,
                           const KvCache& cache,
                           const TokenBuffers& buffers,
                           int n_blocks,
                           const Stream& stream)
    : n_blocks_(n_blocks), kind_(kind_of(weights)) {
  const ModelConfig& c = model.config;
  auto [shapes, steps, n_blocks_of_v] = token_steps(weights, n_blocks);
  if (shapes.size() > kTokenMostShapes) return;
  types_ = integer_types(shapes);
  can_embed_ = has_type(kind_, types_, weights.token_embd.dtype);

  // Shared memory of a block: the ring gets what the rest leaves. x ends with a slot.
  const auto x_of = [this](int cols, bool is_halves) {
    return token_x_bytes(kind_, is_halves, cols / kTokenUnit);
  };
  const std::size_t x_bytes =
      std::max({token_attention_bytes(c.head_dim), x_of(std::max(c.n_embd, c.q_size()), false),
                x_of(c.n_ff, hands_on_halves(kind_)),
                static_cast<std::size_t>(c.n_embd) * sizeof(float)});  // an embedding
  Layout rest(16);
  const std::size_t x_start = rest.take(x_bytes);
  const std::size_t residual_start = rest.take(static_cast<std::size_t>(c.n_embd) * sizeof(float));
  const std::size_t sums_start = rest.take(2 * kTokenSums * sizeof(float));
  const std::size_t cos_sin_start =
      rest.take(static_cast<std::size_t>(c.rope.n_dims) * sizeof(float));
  const std::size_t shapes_start = rest.take(shapes.size() * sizeof(TokenShape));
  const std::size_t steps_start = rest.take(steps.size() * sizeof(TokenStep));
  const std::size_t most = most_token_bytes(kind_, c.head_dim);
  if (most < rest.end()) return;
  const std::size_t key_tile_bytes = token_key_tile_bytes(c.head_dim);
  const TokenRingSize ring =
      cut_into_slots(shapes, kind_, most - rest.end(), key_tile_bytes, n_blocks);
  if (ring.n_slots == 0) return;
  HAIKUDA_CHECK(ring.n_slots % kTokenGroups == 0 && ring.n_slots % ring.n_feeders == 0);
  const std::size_t ring_bytes = ring.bytes();
  shared_bytes_ = ring_bytes + rest.end();
  warp_units_ = ring.warp_units;

  const int key_tiles = std::min(ring.slot_bytes / static_cast<int>(key_tile_bytes), kTokenWarps);

  const Places places(c, n_blocks);
  storage_ = DeviceBuffer<std::byte>(places.end);
  std::byte* base = storage_.data();
  for (int i = 0; i < kTokenVectors; ++i)
    vectors_[i] = {reinterpret_cast<TaggedPair*>(base + places.vectors[i]),
                   size_of(c, static_cast<TokenVector>(i))};
  const auto data = [&](TokenVector v) { return vectors_[static_cast<int>(v)].data; };
  const Tiles tiles = tiles_of(c);
  params_ = {.origin = {.embeds = false,
                        .n_ahead = 0,
                        .dtype = weights.token_embd.dtype,
                        .table = planes_of(weights.token_embd),
                        .sample = {}},
             .shapes = reinterpret_cast<const TokenShape*>(base + places.shapes),
             .steps = reinterpret_cast<const TokenStep*>(base + places.steps),
             .norms = reinterpret_cast<const TokenNorms*>(base + places.norms),
             .n_shapes = static_cast<int>(shapes.size()),
             .n_layers = c.n_layers,
             .n_embd = c.n_embd,
             .n_blocks_of_v = n_blocks_of_v,
             .eps = c.rms_eps,
             .x = buffers.x,
             .qkv = data(TokenVector::q),
             .attended = data(TokenVector::attended),
             .attn_delta = data(TokenVector::attn_delta),
             .act = data(TokenVector::act),
             .ffn_delta = data(TokenVector::ffn_delta),
             .partial = reinterpret_cast<Tagged*>(base + places.partial),
             .logits = buffers.logits,
             .best = buffers.best,
             .n_done = reinterpret_cast<unsigned*>(base + places.n_done),
             .position = buffers.position,
             .cos_sin = buffers.cos_sin,
             .k_cache = cache.k(0),
             .v_cache = cache.v(0),
             .layer_stride = c.n_layers > 1 ? cache.k(1) - cache.k(0) : 0,
             .shape = {.n = 1,
                       .n_heads = c.n_heads,
                       .n_kv_heads = c.n_kv_heads,
                       .head_dim = c.head_dim,
                       .n_dims = c.rope.n_dims,
                       .style = c.rope.style,
                       .eps = c.rms_eps},
             .n_tiles = tiles.n,
             .tile_heads = tiles.heads,
             .n_splits = std::min(n_blocks_ / (c.n_kv_heads * tiles.n), kTokenSplits),
             .keys_alone = std::min(ring.n_slots * key_tiles * kKeyRows + kTokenKeysBeyondRing,
                                    kTokenKeysAlone),
             .key_tiles = key_tiles,
             .slots_of_key_tile = ceil_of(1 << 16, key_tiles),
             .first_phase = 0,
             .end_phase = 0,
             .times = nullptr,
             .n_feeders = ring.n_feeders,
             .n_slots = ring.n_slots,
             .slot_bytes = ring.slot_bytes,
             .x_start = static_cast<int>(ring_bytes + x_start),
             .residual_start = static_cast<int>(ring_bytes + residual_start),
             .sums_start = static_cast<int>(ring_bytes + sums_start),
             .cos_sin_start = static_cast<int>(ring_bytes + cos_sin_start),
             .shapes_start = static_cast<int>(ring_bytes + shapes_start),
             .steps_start = static_cast<int>(ring_bytes + steps_start)};

  for (TokenShape& shape : shapes) shape.flow = flow_of(shape.step, params_);
  std::vector<TokenNorms> norms;
  for (const DeviceLayerWeights& w : weights.layers)
    norms.push_back({w.attn_q_norm, w.attn_k_norm});
  storage_.clear(stream.get());
  const auto upload = [&](std::size_t place, const auto& values) {
    storage_.upload(std::as_bytes(std::span(values)), stream.get(), place);
  };
  upload(places.shapes, shapes);
  upload(places.steps, steps);
  upload(places.norms, norms);
  stream.synchronize();  // they go
}

void TokenProgram::launch(TokenParams params,
                          int first_phase,
                          int end_phase,
                          cudaStream_t stream) const {
  HAIKUDA_CHECK(0 <= first_phase && first_phase < end_phase && end_phase <= head_phase() + 1);
  params.first_phase = first_phase, params.end_phase = end_phase;
  launch_token(params, kind_, types_, warp_units_, n_blocks_, shared_bytes_, stream);
}

void TokenProgram::run(bool want_logits, cudaStream_t stream) const {
  launch(params_, 0, want_logits ? head_phase() + 1 : head_phase(), stream);
}

void TokenProgram::run_greedy(int n_ahead, const SampleBuffers& sample, cudaStream_t stream) const {
  HAIKUDA_CHECK(can_embed_);
  TokenParams params = params_;
  params.origin.embeds = true, params.origin.n_ahead = n_ahead, params.origin.sample = sample;
  launch(params, 0, head_phase() + 1, stream);
}

void TokenProgram::run_phase(int phase, cudaStream_t stream) const {
  launch(params_, phase, phase + 1, stream);
}

void TokenProgram::run_timed(unsigned long long* times, cudaStream_t stream) const {
  TokenParams params = params_;
  params.times = times;
  launch(params, 0, head_phase() + 1, stream);
}

void TokenProgram::end_token(cudaStream_t stream) const {
  count_token(params_.n_done, stream);
}

void TokenProgram::read(float* out, TokenVector vector, cudaStream_t stream) const {
  const Vector& v = vectors_[static_cast<int>(vector)];
  if (vector == TokenVector::act && hands_on_halves(kind_))
    return untag_halves(out, v.data, v.size, kActOfF16, stream);
  untag(out, v.data, v.size, kind_ != TokenKind::integers && vector > TokenVector::v, stream);
}

std::string TokenProgram::description() const {
  return fmt::format("{} blocks, {} slots of {} bytes, {} bytes in all", n_blocks_, params_.n_slots,
                     params_.slot_bytes, shared_bytes_);
}

}  // namespace haikuda::cuda
