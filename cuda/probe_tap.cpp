#include "cuda/probe_tap.h"

#include <algorithm>
#include <cmath>

#include "cuda/download.h"

namespace haikuda::cuda {
namespace {

std::size_t product(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

// What attention makes of one token: (n_heads, n_keys), (n_heads) twice, (n_heads, n_keys).
struct AttentionInside {
  std::vector<float> scores, max, sum, weights;
};

// q (n_heads, head_dim) of one token, keys (n_keys, n_kv_heads, head_dim); the formula of
// cpu::attention.
AttentionInside inside_attention(const float* q,
                                 const std::vector<float>& keys,
                                 std::size_t n_keys,
                                 const ModelConfig& c) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim));
  AttentionInside out;
  for (int head = 0; head < c.n_heads; ++head) {
    const float* q_head = q + product(head, c.head_dim);
    const float* k = keys.data() + product(head / (c.n_heads / c.n_kv_heads), c.head_dim);
    const std::size_t first = out.scores.size();
    for (std::size_t j = 0; j < n_keys; ++j, k += c.kv_size()) {
      double dot = 0;
      for (int d = 0; d < c.head_dim; ++d)
        dot += static_cast<double>(q_head[d]) * static_cast<double>(k[d]);
      out.scores.push_back(scale * static_cast<float>(dot));
    }
    const auto begin = out.scores.begin() + static_cast<std::ptrdiff_t>(first);
    const float max = *std::max_element(begin, out.scores.end());
    float sum = 0;
    for (auto s = begin; s != out.scores.end(); ++s) sum += std::exp(*s - max);
    for (auto s = begin; s != out.scores.end(); ++s)
      out.weights.push_back(std::exp(*s - max) / sum);
    out.max.push_back(max);
    out.sum.push_back(sum);
  }
  return out;
}

// In the order in which they are shown.
struct InsidePart {
  Stage stage;
  std::vector<float> AttentionInside::*values;
};
constexpr InsidePart kInside[] = {{Stage::attn_scores, &AttentionInside::scores},
                                  {Stage::attn_max, &AttentionInside::max},
                                  {Stage::attn_sum, &AttentionInside::sum},
                                  {Stage::attn_weights, &AttentionInside::weights}};

}  // namespace

ProbeTap::ProbeTap(Probe& probe, const ModelConfig& config, int chunk, cudaStream_t stream)
    : probe_(probe),
      config_(config),
      stream_(stream),
      q_(product(chunk, config.q_size())),
      k_(product(chunk, config.kv_size())),
      v_(product(chunk, config.kv_size())),
      q_norm_(product(chunk, config.q_size())),
      k_norm_(product(chunk, config.kv_size())),
      rotated_q_(product(1, config.q_size())),
      wide_(product(chunk, std::max({config.n_embd, config.q_size(), config.n_ff}))) {}

void ProbeTap::begin(int first, int n) {
  first_ = first;
  n_ = n;
}

std::size_t ProbeTap::size_of(Stage stage, int n_rows) const {
  auto size = static_cast<std::size_t>(n_rows);
  for (const int dim : stage_row_shape(stage, config_)) size *= static_cast<std::size_t>(dim);
  return size;
}

void ProbeTap::show(Stage stage, int layer, const float* rows) const {
  show_rows(stage, layer, first_, n_, rows);
}

const float* ProbeTap::widened(const __half* rows,
                               int per_token,
                               int size,
                               const HalfRows& how) const {
  widen_rows(wide_.data(), rows, n_ * per_token, size, how, stream_);
  return wide_.data();
}

void ProbeTap::show_half(Stage stage, int layer, const __half* rows, const HalfRows& how) const {
  if (!wants(stage, layer)) return;
  show(stage, layer, widened(rows, 1, static_cast<int>(size_of(stage, 1)), how));
}

void ProbeTap::show_last(Stage stage, const float* row) const {
  show_rows(stage, -1, first_ + n_ - 1, 1, row);
}

void ProbeTap::show_rows(
    Stage stage, int layer, int position, int n_rows, const float* rows) const {
  if (!probe_.wants(stage, layer, position, n_rows)) return;
  const std::vector<float> values = download(rows, size_of(stage, n_rows), stream_);
  probe_.show({.stage = stage,
               .layer = layer,
               .position = position,
               .n_rows = n_rows,
               .row_shape = stage_row_shape(stage, config_),
               .values = values});
}

void ProbeTap::show_values(Stage stage,
                           int layer,
                           std::span<const float> values,
                           DType dtype) const {
  if (!wants(stage, layer)) return;
  probe_.show({.stage = stage,
               .layer = layer,
               .position = first_,
               .n_rows = n_,
               .row_shape = stage_row_shape(stage, config_),
               .values = values,
               .dtype = dtype});
}

void ProbeTap::show_inputs(const int* tokens,
                           const float* x,
                           const double* radians,
                           const float* cos_sin) const {
  const auto n = static_cast<std::size_t>(n_);
  if (wants(Stage::tokens, -1)) {
    const std::vector<int> ids = download(tokens + first_, n, stream_);
    probe_.show({.stage = Stage::tokens, .position = first_, .n_rows = n_, .ids = ids});
  }
  show(Stage::token_embd, -1, x);
  if (!wants(Stage::rope_theta, -1) && !wants(Stage::rope_cos, -1) && !wants(Stage::rope_sin, -1))
    return;
  const std::size_t n_pairs = product(config_.rope.n_dims / 2, 1);
  const std::vector<double> frequencies = download(radians, n_pairs, stream_);
  const std::vector<float> turns =
      download(cos_sin + product(first_, config_.rope.n_dims), 2 * n * n_pairs, stream_);
  std::vector<float> theta, cos, sin;
  for (std::size_t i = 0; i < n * n_pairs; ++i) {
    const double position = first_ + static_cast<double>(i / n_pairs);
    theta.push_back(static_cast<float>(position * frequencies[i % n_pairs]));
    cos.push_back(turns[2 * i]);
    sin.push_back(turns[2 * i + 1]);
  }
  show_values(Stage::rope_theta, -1, theta);
  show_values(Stage::rope_cos, -1, cos);
  show_values(Stage::rope_sin, -1, sin);
}

QkvSteps ProbeTap::qkv_steps() const {
  return {.q = q_.data(),
          .k = k_.data(),
          .v = v_.data(),
          .q_norm = q_norm_.data(),
          .k_norm = k_norm_.data()};
}

void ProbeTap::show_qkv(int layer,
                        bool has_head_norm,
                        const float* q,
                        const __half* k_cache) const {
  show(Stage::q, layer, q_.data());
  show(Stage::k, layer, k_.data());
  show(Stage::v, layer, v_.data());
  if (has_head_norm) {
    show(Stage::q_norm, layer, q_norm_.data());
    show(Stage::k_norm, layer, k_norm_.data());
  }
  show(Stage::q_rope, layer, q);
  show_keys(layer, k_cache);
  show_attention(layer, q, k_cache);
}

void ProbeTap::show_keys(int layer, const __half* k_cache) const {
  if (!wants(Stage::k_rope, layer)) return;
  const std::vector<float> rows = download_as_float(k_cache + product(first_, config_.kv_size()),
                                                    size_of(Stage::k_rope, n_), stream_);
  show_values(Stage::k_rope, layer, rows, DType::F16);
}

void ProbeTap::show_attention(int layer, const float* q, const __half* k_cache) const {
  if (std::none_of(std::begin(kInside), std::end(kInside),
                   [&](const InsidePart& part) { return wants(part.stage, layer); }))
    return;
  const std::vector<float> queries = download(q, size_of(Stage::q_rope, n_), stream_);
  const std::vector<float> keys =
      download_as_float(k_cache, size_of(Stage::k_rope, first_ + n_), stream_);
  std::vector<AttentionInside> inside;
  for (int t = 0; t < n_; ++t)
    inside.push_back(inside_attention(queries.data() + product(t, config_.q_size()), keys,
                                      static_cast<std::size_t>(first_ + t + 1), config_));
  for (const InsidePart& part : kInside)
    for (int t = 0; t < n_; ++t) {
      if (!probe_.wants(part.stage, layer, first_ + t, 1)) continue;
      probe_.show({.stage = part.stage,
                   .layer = layer,
                   .position = first_ + t,
                   .n_rows = 1,
                   .row_shape = stage_row_shape(part.stage, config_, first_ + t + 1),
                   .values = inside[static_cast<std::size_t>(t)].*part.values});
    }
}

}  // namespace haikuda::cuda
