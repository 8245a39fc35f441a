#include "inspect/recompute.h"

#include <algorithm>
#include <cmath>

#include "quant/dequantize.h"

namespace haikuda::recompute {
namespace {

constexpr std::int64_t kRowsAtOnce = 16;

double dot(RowView a, RowView b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

RowView part(RowView row, int index, int size) {
  return row.subspan(static_cast<std::size_t>(index) * static_cast<std::size_t>(size),
                     static_cast<std::size_t>(size));
}

}  // namespace

Row weight_row(const TensorView& w, std::int64_t index) {
  Row out(static_cast<std::size_t>(w.cols));
  dequantize_row(w.dtype, w.row(index), out.data(), w.cols);
  return out;
}

std::vector<Row> product(const TensorView& w,
                         RowView bias,
                         const std::vector<RowView>& x,
                         ThreadPool& threads) {
  std::vector<Row> out(x.size(), Row(static_cast<std::size_t>(w.rows)));
  threads.parallel_for(w.rows, kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = begin; r < end; ++r) {
      const Row row = weight_row(w, r);
      const auto i = static_cast<std::size_t>(r);
      for (std::size_t t = 0; t < x.size(); ++t)
        out[t][i] = static_cast<float>(dot(row, x[t]) +
                                       (bias.empty() ? 0.0 : static_cast<double>(bias[i])));
    }
  });
  return out;
}

Row rms_norm(RowView x, RowView weight, int size, double eps) {
  Row out(x.size());
  const auto n = static_cast<std::size_t>(size);
  for (std::size_t begin = 0; begin < x.size(); begin += n) {
    const RowView row = x.subspan(begin, n);
    const double scale = 1 / std::sqrt(dot(row, row) / static_cast<double>(n) + eps);
    for (std::size_t i = 0; i < n; ++i)
      out[begin + i] = static_cast<float>(static_cast<double>(row[i]) * scale *
                                          (weight.empty() ? 1.0 : static_cast<double>(weight[i])));
  }
  return out;
}

Row rope(RowView x, const Rotation& r, double position) {
  Row out(x.begin(), x.end());
  const auto head_dim = static_cast<std::size_t>(r.head_dim);
  const auto n_pairs = static_cast<std::size_t>(r.n_dims) / 2;
  for (std::size_t begin = 0; begin < out.size(); begin += head_dim)
    for (std::size_t i = 0; i < n_pairs; ++i) {
      const bool neox = r.style == RopeStyle::neox;
      float& a = out[begin + (neox ? i : 2 * i)];
      float& b = out[begin + (neox ? i + n_pairs : 2 * i + 1)];
      const double c = std::cos(position * r.radians[i]) * r.magnitude;
      const double s = std::sin(position * r.radians[i]) * r.magnitude;
      const double old_a = static_cast<double>(a), old_b = static_cast<double>(b);
      a = static_cast<float>(old_a * c - old_b * s);
      b = static_cast<float>(old_a * s + old_b * c);
    }
  return out;
}

Row scores(RowView q,
           const std::vector<RowView>& keys,
           std::span<const int> kv_head,
           double scale) {
  const auto head_dim = static_cast<int>(q.size() / kv_head.size());
  Row out;
  for (std::size_t h = 0; h < kv_head.size(); ++h)
    for (const RowView key : keys)
      out.push_back(static_cast<float>(
          scale * dot(part(q, static_cast<int>(h), head_dim), part(key, kv_head[h], head_dim))));
  return out;
}

Softmax softmax(RowView scores, int n_heads) {
  Softmax out;
  const auto n_keys = static_cast<int>(scores.size()) / n_heads;
  for (int h = 0; h < n_heads; ++h) {
    const RowView row = part(scores, h, n_keys);
    const double max = static_cast<double>(*std::max_element(row.begin(), row.end()));
    double sum = 0;
    for (const float s : row) sum += std::exp(static_cast<double>(s) - max);
    out.max.push_back(static_cast<float>(max));
    out.sum.push_back(static_cast<float>(sum));
    for (const float s : row)
      out.weights.push_back(static_cast<float>(std::exp(static_cast<double>(s) - max) / sum));
  }
  return out;
}

Row mix(RowView weights,
        const std::vector<RowView>& values,
        std::span<const int> kv_head,
        int head_dim) {
  Row out;
  for (std::size_t h = 0; h < kv_head.size(); ++h) {
    std::vector<double> sum(static_cast<std::size_t>(head_dim));
    for (std::size_t key = 0; key < values.size(); ++key) {
      const double weight = static_cast<double>(weights[h * values.size() + key]);
      const RowView value = part(values[key], kv_head[h], head_dim);
      for (std::size_t d = 0; d < sum.size(); ++d) sum[d] += weight * static_cast<double>(value[d]);
    }
    for (const double s : sum) out.push_back(static_cast<float>(s));
  }
  return out;
}

Row silu_mul(RowView gate, RowView up) {
  Row out;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = static_cast<double>(gate[i]);
    out.push_back(static_cast<float>(g / (1 + std::exp(-g)) * static_cast<double>(up[i])));
  }
  return out;
}

Row sum(RowView a, RowView b) {
  Row out(a.begin(), a.end());
  for (std::size_t i = 0; i < b.size(); ++i) out[i] += b[i];
  return out;
}

}  // namespace haikuda::recompute
