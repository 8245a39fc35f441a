#include "cuda/forward.h"

#include <algorithm>

#include "cuda/cuda_backend.h"
#include "cuda/download.h"
#include "model/rope_frequencies.h"

namespace haikuda::cuda {
namespace {

// Tokens at once of prefill_exact: more gain nothing and take four times the memory of half.
constexpr int kExactChunk = 512;

std::size_t product(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

QkvShape qkv_shape_of(const ModelConfig& c, int n) {
  return {.n = n,
          .n_heads = c.n_heads,
          .n_kv_heads = c.n_kv_heads,
          .head_dim = c.head_dim,
          .n_dims = c.rope.n_dims,
          .style = c.rope.style,
          .eps = c.rms_eps};
}

// Floats that attention needs for any number of tokens up to `chunk`.
std::size_t splits_size(const ModelConfig& c, int chunk) {
  std::size_t size = attend_token_scratch(qkv_shape_of(c, 1)).n_partial;
  for (const int n : {1, std::min(chunk, kMaxSplitTokens), chunk})
    size = std::max(size, attention_scratch_size({n, c.n_heads, c.n_kv_heads, c.head_dim}));
  return size;
}

// Elements of a row of Scratch::qkv.
int qkv_row(const ModelConfig& c) {
  return std::max(c.q_size() + 2 * c.kv_size(), c.n_embd);
}

int n_act_blocks(const ModelConfig& c) {
  return (c.n_ff + 31) / 32;
}

const auto kMatrices = {&LayerWeights::attn_q,      &LayerWeights::attn_k,   &LayerWeights::attn_v,
                        &LayerWeights::attn_output, &LayerWeights::ffn_gate, &LayerWeights::ffn_up,
                        &LayerWeights::ffn_down};

// Whether all that prefill_half needs holds: types, sizes of whole vectors, matrix units.
bool takes_half(const Model& model, bool has_bfloat16) {
  const ModelConfig& c = model.config;
  const bool all_half = std::all_of(
      model.weights.layers.begin(), model.weights.layers.end(), [](const LayerWeights& w) {
        return std::all_of(kMatrices.begin(), kMatrices.end(),
                           [&](auto matrix) { return Gemm::takes_half((w.*matrix).dtype); });
      });
  return all_half && has_bfloat16 && takes_attention_half(c.head_dim) && c.n_embd % 8 == 0 &&
         c.n_embd <= kMaxHalfNorm && c.n_ff % 8 == 0;
}

ScratchTokens scratch_tokens(const Model& model, const ForwardSizes& sizes) {
  const bool half = takes_half(model, sizes.has_bfloat16);
  return {.all = sizes.chunk,
          .exact = half ? std::min(sizes.chunk, kMaxGemvTokens) : sizes.chunk,
          .half = half ? sizes.chunk : 0};
}

Gemm::Sizes gemm_sizes(const Model& model, const ForwardSizes& sizes) {
  const bool half = takes_half(model, sizes.has_bfloat16);
  Gemm::Sizes out{.n_rows = half ? 0 : sizes.chunk};
  for (const LayerWeights& w : model.weights.layers) {
    for (const auto matrix : kMatrices)
      out.add((w.*matrix).dtype, (w.*matrix).rows, (w.*matrix).cols, sizes.has_bfloat16);
    if (!half) continue;
    out.add_joint({&w.attn_q, &w.attn_k, &w.attn_v});
    out.add_joint({&w.ffn_gate, &w.ffn_up});
  }
  return out;
}

}  // namespace

Scratch::Scratch(const ModelConfig& c, const ScratchTokens& n)
    : x(product(n.all, c.n_embd)),
      h(product(n.exact, c.n_embd)),
      q(product(n.exact, c.q_size())),
      k(product(n.exact, c.kv_size())),
      v(product(n.exact, c.kv_size())),
      attended(product(n.exact, c.q_size())),
      splits(splits_size(c, n.exact)),
      arrivals(attend_token_scratch(qkv_shape_of(c, 1)).n_arrivals),
      gate(product(n.exact, c.n_ff)),
      up(product(n.exact, c.n_ff)),
      logits(product(1, c.n_vocab)),
      norm_half(product(n.half, c.n_embd)),
      qkv(product(n.half, qkv_row(c))),
      q_half(product(n.half, c.q_size())),
      q_scale(product(n.half, c.n_heads)),
      gate_up(product(n.half, 2 * c.n_ff)),
      act_scale(product(n.half, 1)),
      act_quants(product(kActivationPlanes, c.n_ff)),
      act_blocks(product(1, n_act_blocks(c))),
      best(1),
      best_partial(std::max(kMaxGemvBlocks, kArgmaxBlocks)) {}

std::size_t Scratch::bytes_needed(const ModelConfig& c, const ScratchTokens& n) {
  const std::size_t exact = product(n.all, c.n_embd) + product(n.exact, c.n_embd) +
                            product(n.exact, 2 * c.q_size()) + product(n.exact, 2 * c.kv_size()) +
                            product(n.exact, 2 * c.n_ff);
  const std::size_t half = product(n.half, qkv_row(c) + c.n_heads + 1) * sizeof(float) +
                           product(n.half, c.n_embd + c.q_size() + 2 * c.n_ff) * sizeof(__half);
  const std::size_t of_one_token =
      product(kActivationPlanes, c.n_ff) + product(n_act_blocks(c), sizeof(ActivationBlock)) +
      attend_token_scratch(qkv_shape_of(c, 1)).n_arrivals * sizeof(unsigned) +
      (1 + std::max(kMaxGemvBlocks, kArgmaxBlocks)) * sizeof(ArgmaxResult);
  return (exact + splits_size(c, n.exact) + product(1, c.n_vocab)) * sizeof(float) + half +
         of_one_token;
}

Forward::Forward(const Model& model,
                 const DeviceWeights& weights,
                 const ForwardSizes& sizes,
                 const Stream& stream)
    : model_(model),
      config_(model.config),
      weights_(weights),
      stream_(stream.get()),
      chunk_(sizes.chunk),
      takes_half_(takes_half(model, sizes.has_bfloat16)),
      cache_(config_, sizes.n_ctx),
      gemm_(gemm_sizes(model, sizes), sizes.has_bfloat16, stream_),
      scratch_(config_, scratch_tokens(model, sizes)),
      radians_(static_cast<std::size_t>(config_.rope.n_dims / 2)),
      cos_sin_(product(sizes.n_ctx, config_.rope.n_dims)),
      tokens_(static_cast<std::size_t>(sizes.n_ctx)),
      position_(1) {
  const RopeFrequencies frequencies =
      rope_frequencies(config_.rope, to_float(model.weights.rope_freqs));
  radians_.upload(frequencies.radians, stream_);
  scratch_.arrivals.clear(stream_);
  rope_table(cos_sin_.data(), radians_.data(), frequencies.magnitude, sizes.n_ctx,
             config_.rope.n_dims / 2, stream_);
  stream.synchronize();  // `frequencies` goes
  program_ = TokenProgram::make(model, weights, cache_,
                                {.x = scratch_.x.data(),
                                 .logits = scratch_.logits.data(),
                                 .best = scratch_.best_partial.data(),
                                 .position = position_.data(),
                                 .cos_sin = cos_sin_.data()},
                                stream);
}

int Forward::best_chunk(const Model& model, bool has_bfloat16) {
  return takes_half(model, has_bfloat16) ? kCudaChunk : kExactChunk;
}

std::size_t Forward::bytes_needed(const Model& model, const ForwardSizes& sizes) {
  const ModelConfig& c = model.config;
  const std::size_t rope = product(sizes.n_ctx, c.rope.n_dims) * sizeof(float);
  const std::size_t inputs =
      product(sizes.n_ctx, sizeof(int)) + sizeof(int) + product(c.rope.n_dims / 2, sizeof(double));
  return KvCache::bytes_needed(c, sizes.n_ctx) + TokenProgram::bytes_needed(c) +
         gemm_sizes(model, sizes).bytes() + Scratch::bytes_needed(c, scratch_tokens(model, sizes)) +
         rope + inputs;
}

QkvVectors Forward::vectors_of(const DeviceLayerWeights& w) const {
  return {.q_bias = w.attn_q_bias,
          .k_bias = w.attn_k_bias,
          .v_bias = w.attn_v_bias,
          .q_norm = w.attn_q_norm,
          .k_norm = w.attn_k_norm,
          .cos_sin = cos_sin_.data(),
          .steps = tap() ? tap()->qkv_steps() : QkvSteps{}};
}

QkvShape Forward::qkv_shape(int n) const {
  return qkv_shape_of(config_, n);
}

AttentionShape Forward::attention_shape(int n) const {
  return {.n = n,
          .n_heads = config_.n_heads,
          .n_kv_heads = config_.n_kv_heads,
          .head_dim = config_.head_dim};
}

void Forward::set_probe(Probe* probe) {
  tap_ = probe == nullptr ? nullptr : std::make_unique<ProbeTap>(*probe, config_, chunk_, stream_);
}

void Forward::show_inputs() const {
  if (tap())
    tap()->show_inputs(tokens_.data(), scratch_.x.data(), radians_.data(), cos_sin_.data());
}

void Forward::show_qkv(int layer) const {
  const bool has_head_norm =
      weights_.layers[static_cast<std::size_t>(layer)].attn_q_norm != nullptr;
  if (tap()) tap()->show_qkv(layer, has_head_norm, scratch_.q.data(), cache_.k(layer));
}

CachedKv Forward::cached_kv(int layer, int n_positions) const {
  const std::size_t size = product(n_positions, config_.kv_size());
  return {download_as_float(cache_.k(layer), size, stream_),
          download_as_float(cache_.v(layer), size, stream_)};
}

// Without cuBLASLt long prompts of types that prefill_half would take go through gemv.
int Forward::most_tokens() {
  return takes_half_ && chunk_ > kMaxGemvTokens && !gemm_.open() ? kMaxGemvTokens : chunk_;
}

void Forward::run(int position, int n, bool want_logits, DecodePath path) {
  const int most = n > kMaxGemvTokens ? most_tokens() : n;
  for (int done = 0; done < n; done += most)
    pass(position + done, std::min(most, n - done), want_logits && n - done <= most, path);
}

void Forward::pass(int position, int n, bool want_logits, DecodePath path) {
  if (kHasProbe && tap_) tap_->begin(position, n);
  set_int(position_.data(), position, stream_);
  if (n > kMaxGemvTokens && takes_half_)
    prefill_half(n, want_logits);
  else if (n > 1)
    prefill_exact(n, want_logits);
  else if (path == DecodePath::steps)
    decode_steps(want_logits);
  else if (tap() && program_)
    decode_shown_phases(want_logits);
  else if (tap())
    decode_shown(want_logits);
  else
    decode_fused(want_logits);
}

// Kernels are loaded when they are captured. Where cuBLAS multiplies, its own are most of them, and
// it chooses among them only when it runs.
void Forward::prepare(int n) {
  if (n > kMaxGemvTokens)
    (void)gemm_.open();
  else
    (void)Graph::capture(stream_, [&] { run(0, n, true); });
}

// Few tokens, or types that are multiplied in more than half: one op after the other, activations
// in F32.
void Forward::prefill_exact(int n, bool want_logits) {
  const ModelConfig& c = config_;
  float *x = scratch_.x.data(), *h = scratch_.h.data(), *attended = scratch_.attended.data();
  float *q = scratch_.q.data(), *k = scratch_.k.data(), *v = scratch_.v.data();
  float *gate = scratch_.gate.data(), *up = scratch_.up.data();
  const int* position = position_.data();
  const auto attention = n <= kMaxGemvTokens ? attention_decode : attention_prefill;

  embed(x, weights_.token_embd, tokens_.data(), position, n, stream_);
  show_inputs();
  for (int layer = 0; layer < c.n_layers; ++layer) {
    const DeviceLayerWeights& w = weights_.layers[static_cast<std::size_t>(layer)];
    __half *k_cache = cache_.k(layer), *v_cache = cache_.v(layer);

    rms_norm(h, x, w.attn_norm, n, c.n_embd, c.rms_eps, stream_);
    show(Stage::attn_norm, layer, h);
    gemm_.multiply({{q, w.attn_q}, {k, w.attn_k}, {v, w.attn_v}}, h, n);
    finish_qkv(q, k_cache, v_cache, k, v, position, vectors_of(w), qkv_shape(n), stream_);
    show_qkv(layer);
    attention(attended, scratch_.splits.data(), q, k_cache, v_cache, position, attention_shape(n),
              stream_);
    show(Stage::attn_output, layer, attended);
    gemm_.multiply({{h, w.attn_output}}, attended, n);
    show(Stage::attn_proj, layer, h);
    add(x, h, std::int64_t{n} * c.n_embd, stream_);
    show(Stage::attn_residual, layer, x);

    rms_norm(h, x, w.ffn_norm, n, c.n_embd, c.rms_eps, stream_);
    show(Stage::ffn_norm, layer, h);
    gemm_.multiply({{gate, w.ffn_gate}, {up, w.ffn_up}}, h, n);
    show(Stage::ffn_gate, layer, gate);
    show(Stage::ffn_up, layer, up);
    silu_mul(gate, up, std::int64_t{n} * c.n_ff, stream_);
    show(Stage::ffn_act, layer, gate);
    gemm_.multiply({{h, w.ffn_down}}, gate, n);
    show(Stage::ffn_down, layer, h);
    add(x, h, std::int64_t{n} * c.n_embd, stream_);
    show(Stage::ffn_residual, layer, x);
  }
  if (want_logits) head_steps(x + std::int64_t{n - 1} * c.n_embd);
}

// x (n_embd) is of the last token.
void Forward::head_steps(const float* x) {
  float *h = scratch_.h.data(), *logits = scratch_.logits.data();
  rms_norm(h, x, weights_.output_norm, 1, config_.n_embd, config_.rms_eps, stream_);
  show_last(Stage::output_norm, h);
  gemv(logits, h, weights_.output, 1, stream_);
  show_last(Stage::logits, logits);
  argmax(scratch_.best.data(), scratch_.best_partial.data(), logits, config_.n_vocab, stream_);
}

}  // namespace haikuda::cuda
