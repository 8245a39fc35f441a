// The operations of a layer once more, on the host and in double precision, from the weights of
// the file: what a stage ought to have shown, given the input that was shown. Shares no arithmetic
// with a backend.
#pragma once

#include <span>
#include <vector>

#include "base/tensor_view.h"
#include "base/thread_pool.h"
#include "model/rope_frequencies.h"

namespace haikuda::recompute {

using Row = std::vector<float>;
using RowView = std::span<const float>;

// Row `index` of a matrix of any type.
Row weight_row(const TensorView& w, std::int64_t index);
// The rows of w (rows, cols) times each x (cols), plus bias (rows) unless it is empty.
std::vector<Row> product(const TensorView& w,
                         RowView bias,
                         const std::vector<RowView>& x,
                         ThreadPool& threads);
// x · weight / sqrt(mean(x²) + eps) for each part of weight's size; no weight: all ones.
Row rms_norm(RowView x, RowView weight, int size, double eps);

struct Rotation {
  int head_dim = 0, n_dims = 0;
  RopeStyle style = RopeStyle::neox;
  std::vector<double> radians;  // (n_dims / 2), per position
  double magnitude = 1;
};
// Rotates each head of x (n_heads, head_dim).
Row rope(RowView x, const Rotation& rotation, double position);

// (n_heads, n_keys): scale * q of head h · k of head kv_head[h] of each key (n_kv_heads, head_dim).
Row scores(RowView q, const std::vector<RowView>& keys, std::span<const int> kv_head, double scale);
// Of each head: the greatest of its n_keys scores, the sum of exp(score - max), softmax.
struct Softmax {
  Row max, sum, weights;
};
Softmax softmax(RowView scores, int n_heads);
// (n_heads, head_dim): weights (n_heads, n_keys) times the values of each head's KV head.
Row mix(RowView weights,
        const std::vector<RowView>& values,
        std::span<const int> kv_head,
        int head_dim);
Row silu_mul(RowView gate, RowView up);
Row sum(RowView a, RowView b);

}  // namespace haikuda::recompute
