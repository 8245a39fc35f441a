#include "cpu/ops.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/half.h"
#include "cpu/dot.h"
#include "quant/dequantize.h"

namespace haikuda::cpu {
namespace {

constexpr std::int64_t kRowsAtOnce = 16;  // rows of a matrix that a thread takes at a time
// Multiply-adds that are done about as soon as another thread has woken to help.
constexpr std::int64_t kSmallWork = 1 << 18;

// scores (n_keys) of one query head of one token: q (head_dim) · rows of k, `stride` apart.
void score(
    std::span<float> scores, const float* q, const float* k, std::int64_t stride, int head_dim) {
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  for (float& s : scores) {
    s = scale * dot(q, k, head_dim);
    k += stride;
  }
}

struct SoftmaxTerms {
  float max, sum;
};
// In place; the greatest score is subtracted first.
SoftmaxTerms softmax(std::span<float> scores) {
  const float max = *std::max_element(scores.begin(), scores.end());
  float sum = 0;
  for (float& s : scores) sum += s = std::exp(s - max);
  for (float& s : scores) s /= sum;
  return {max, sum};
}

// out (head_dim) = weights · rows of v, `stride` apart.
void mix(
    float* out, std::span<const float> weights, const float* v, std::int64_t stride, int head_dim) {
  std::fill_n(out, head_dim, 0.0f);
  for (const float weight : weights) {
    for (int d = 0; d < head_dim; ++d) out[d] += weight * v[d];
    v += stride;
  }
}

// The same, and what it was of a head.
void softmax_shown(std::span<float> scores, AttentionInside& inside, std::int64_t head) {
  const auto h = static_cast<std::size_t>(head);
  std::copy(scores.begin(), scores.end(), inside.scores.data() + h * scores.size());
  const SoftmaxTerms terms = softmax(scores);
  inside.max[h] = terms.max;
  inside.sum[h] = terms.sum;
  std::copy(scores.begin(), scores.end(), inside.weights.data() + h * scores.size());
}

// Room for a token that sees n_keys.
void prepare(AttentionInside& inside, std::size_t n_heads, std::size_t n_keys) {
  inside.scores.resize(n_heads * n_keys);
  inside.weights.resize(n_heads * n_keys);
  inside.max.resize(n_heads);
  inside.sum.resize(n_heads);
}

}  // namespace

void embed(float* out, const TensorView& table, std::span<const int> tokens) {
  for (const int token : tokens) {
    dequantize_row(table.dtype, table.row(token), out, table.cols);
    out += table.cols;
  }
}

void matmul(float* y, const float* x, const TensorView& w, int n, ThreadPool& threads) {
  const std::int64_t grain = w.rows * w.cols * n < kSmallWork ? w.rows : kRowsAtOnce;
  threads.parallel_for(w.rows, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> row(static_cast<std::size_t>(w.cols));
    for (std::int64_t r = begin; r < end; ++r) {
      dequantize_row(w.dtype, w.row(r), row.data(), w.cols);
      for (int t = 0; t < n; ++t) y[t * w.rows + r] = dot(row.data(), x + t * w.cols, w.cols);
    }
  });
}

void add_bias(float* x, const float* bias, int n, int size) {
  for (int t = 0; t < n; ++t) add(x + std::int64_t{t} * size, bias, size);
}

void add(float* x, const float* y, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) x[i] += y[i];
}

void round_to_half(float* x, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) x[i] = half_to_float(float_to_half(x[i]));
}

void rms_norm(float* out, const float* x, const float* weight, int n, int size, float eps) {
  for (int t = 0; t < n; ++t, x += size, out += size) {
    const float mean_square = dot(x, x, size) / static_cast<float>(size);
    const float scale = 1 / std::sqrt(mean_square + eps);
    for (int i = 0; i < size; ++i) out[i] = x[i] * scale * weight[i];
  }
}

void rope(
    float* x, const float* cos_sin, int n, int n_heads, int head_dim, int n_dims, RopeStyle style) {
  const int n_pairs = n_dims / 2;
  const int stride = style == RopeStyle::neox ? 1 : 2;          // between first elements of pairs
  const int distance = style == RopeStyle::neox ? n_pairs : 1;  // between the elements of a pair
  for (int t = 0; t < n; ++t, cos_sin += n_dims)
    for (int h = 0; h < n_heads; ++h, x += head_dim)
      for (int i = 0; i < n_pairs; ++i) {
        const float c = cos_sin[2 * i], s = cos_sin[2 * i + 1];
        float& a = x[i * stride];
        float& b = x[i * stride + distance];
        const float rotated = a * c - b * s;
        b = a * s + b * c;
        a = rotated;
      }
}

void attention(float* out,
               const float* q,
               const float* k,
               const float* v,
               const AttentionShape& s,
               ThreadPool& threads,
               std::span<AttentionInside> inside) {
  const int n_queries_per_kv = s.n_heads / s.n_kv_heads;
  const std::int64_t kv_stride = std::int64_t{s.n_kv_heads} * s.head_dim;
  const auto n_keys_of = [&](std::int64_t token) {  // causal
    return static_cast<std::size_t>(s.position + token + 1);
  };
  for (std::size_t t = 0; t < inside.size(); ++t)
    prepare(inside[t], static_cast<std::size_t>(s.n_heads), n_keys_of(static_cast<int>(t)));
  const std::int64_t n_heads = std::int64_t{s.n} * s.n_heads;
  const std::int64_t work = 2 * n_heads * s.head_dim * (s.position + s.n);
  const std::int64_t grain = work < kSmallWork ? n_heads : 1;
  threads.parallel_for(n_heads, grain, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> scores;
    for (std::int64_t i = begin; i < end; ++i) {  // one token's head
      const std::int64_t token = i / s.n_heads, head = i % s.n_heads;
      const std::int64_t kv_offset = head / n_queries_per_kv * s.head_dim;
      const std::size_t n_keys = n_keys_of(token);
      scores.resize(n_keys);
      score(scores, q + i * s.head_dim, k + kv_offset, kv_stride, s.head_dim);
      if (inside.empty())
        softmax(scores);
      else
        softmax_shown(scores, inside[static_cast<std::size_t>(token)], head);
      mix(out + i * s.head_dim, scores, v + kv_offset, kv_stride, s.head_dim);
    }
  });
}

void silu_mul(float* gate, const float* up, std::int64_t size) {
  for (std::int64_t i = 0; i < size; ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
}

int argmax(std::span<const float> values) {
  std::size_t best = 0;
  for (std::size_t i = 1; i < values.size(); ++i)
    if (values[i] > values[best] || (std::isnan(values[best]) && !std::isnan(values[i]))) best = i;
  return static_cast<int>(best);
}

}  // namespace haikuda::cpu
