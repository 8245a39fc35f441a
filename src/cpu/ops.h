// The reference operations: short, obvious, F32, each output element summed in one fixed order, so
// that the result never depends on the number of threads or on how a prompt is cut into chunks.
// cuda/ops.h has their twins.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/tensor_view.h"
#include "base/thread_pool.h"
#include "model/architecture.h"

namespace haikuda::cpu {

// Shapes are row-major, n tokens in front. Outputs alias no input unless said.

// out (n, cols) = rows of table (vocabulary, cols) of any type.
void embed(float* out, const TensorView& table, std::span<const int> tokens);

// y (n, w.rows) = x (n, w.cols) · wᵀ, w of any type.
void matmul(float* y, const float* x, const TensorView& w, int n, ThreadPool& threads);

// x (n, size) += bias (size), in place.
void add_bias(float* x, const float* bias, int n, int size);

// x (size) += y (size), in place.
void add(float* x, const float* y, std::int64_t size);

// x (size) to the nearest half, ties to even; beyond its range infinite.
void round_to_half(float* x, std::int64_t size);

// out (n, size) = x · weight (size) / sqrt(mean(x²) + eps); out may be x.
void rms_norm(float* out, const float* x, const float* weight, int n, int size, float eps);

// One angle a pair, precomputed: cos_sin[(t * n_dims / 2 + i) * 2 + {0: cos, 1: sin}].
// Rotates the first n_dims elements of each head of x (n, n_heads, head_dim), in place.
void rope(
    float* x, const float* cos_sin, int n, int n_heads, int head_dim, int n_dims, RopeStyle style);

struct AttentionShape {
  int n;         // query tokens
  int position;  // of the first of them: it sees position + 1 keys, the next one more each
  int n_heads, n_kv_heads, head_dim;
};
// What attention computes of one token on its way: softmax makes weights of scores, (n_heads,
// n_keys) both; it subtracts max and divides by sum, (n_heads) both.
struct AttentionInside {
  std::vector<float> scores, max, sum, weights;
};
// out (n, n_heads, head_dim) = softmax(q · kᵀ / sqrt(head_dim)) · v with causal mask.
// q (n, n_heads, head_dim); k, v (positions, n_kv_heads, head_dim); head h uses KV head h /
// (n_heads / n_kv_heads). `inside` (n) is filled, or empty.
void attention(float* out,
               const float* q,
               const float* k,
               const float* v,
               const AttentionShape& shape,
               ThreadPool& threads,
               std::span<AttentionInside> inside = {});

// gate (size) = silu(gate) · up, in place.
void silu_mul(float* gate, const float* up, std::int64_t size);

// Index of the greatest value, the lowest of equals. NaN never wins against a number.
int argmax(std::span<const float> values);

}  // namespace haikuda::cpu
