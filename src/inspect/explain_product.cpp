// What went wrong in a matrix multiplication.
#include <cmath>
#include <cstring>

#include <fmt/format.h>

#include "inspect/explain.h"
#include "inspect/nmse.h"
#include "quant/dequantize.h"

namespace haikuda {
namespace {

using recompute::Row;
using recompute::RowView;

// The bytes of a block that hold two 4-bit numbers each: [first, end). None: {0, 0}.
std::pair<int, int> nibble_bytes(DType dtype) {
  switch (dtype) {
    case DType::Q4_0:
    case DType::IQ4_NL:
      return {2, 18};
    case DType::Q4_1:
      return {4, 20};
    case DType::Q5_0:
      return {6, 22};
    case DType::Q5_1:
      return {8, 24};
    case DType::Q4_K:
      return {16, 144};
    case DType::Q5_K:
      return {48, 176};
    case DType::IQ4_XS:
      return {8, 136};
    case DType::MXFP4:
      return {1, 17};
    default:
      return {0, 0};
  }
}

// W · x with the halves of each byte exchanged; empty for a type that has none.
Row product_of_swapped_nibbles(const TensorView& w, RowView x) {
  const auto [first, end] = nibble_bytes(w.dtype);
  if (first == end) return {};
  const int block = dtype_info(w.dtype).block_bytes;
  std::vector<unsigned char> bytes(w.row_stride());
  TensorView swapped = w;
  Row out;
  for (std::int64_t r = 0; r < w.rows; ++r) {
    std::memcpy(bytes.data(), w.row(r), bytes.size());
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const int at = static_cast<int>(i) % block;
      if (at >= first && at < end)
        bytes[i] = static_cast<unsigned char>(bytes[i] >> 4 | bytes[i] << 4);
    }
    swapped.rows = 1;
    swapped.data = reinterpret_cast<const std::byte*>(bytes.data());
    const Row row = recompute::weight_row(swapped, 0);
    double sum = 0;
    for (std::size_t i = 0; i < row.size(); ++i)
      sum += static_cast<double>(row[i]) * static_cast<double>(x[i]);
    out.push_back(static_cast<float>(sum));
  }
  return out;
}

// W's numbers (rows, cols) read as a matrix (cols, rows), whose columns are multiplied: what a
// column-major library computes when it is told neither to transpose nor the right stride.
Row untransposed_product(const TensorView& w, RowView x) {
  std::vector<double> sum(static_cast<std::size_t>(w.rows));
  std::size_t at = 0;
  for (std::int64_t r = 0; r < w.rows; ++r)
    for (const float value : recompute::weight_row(w, r)) {
      sum[at % sum.size()] += static_cast<double>(value) * static_cast<double>(x[at / sum.size()]);
      ++at;
    }
  return {sum.begin(), sum.end()};
}

Row plus(Row row, RowView bias) {
  for (std::size_t i = 0; i < bias.size() && i < row.size(); ++i) row[i] += bias[i];
  return row;
}

// "3 of 256 rows differ, the first is 17", when most are right.
std::string few_rows(RowView got, RowView want, double bound) {
  double norm = 0;
  for (const float x : want) norm += static_cast<double>(x) * static_cast<double>(x);
  const double allowed = 100 * bound * norm / static_cast<double>(want.size());
  std::size_t n_wrong = 0, first = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double e = static_cast<double>(got[i]) - static_cast<double>(want[i]);
    if (e * e <= allowed) continue;
    if (n_wrong++ == 0) first = i;
  }
  if (n_wrong == 0 || n_wrong > got.size() / 10) return {};
  return fmt::format("a damaged block of the weights: {} of {} rows differ, the first is {}",
                     n_wrong, got.size(), first);
}

}  // namespace

std::string Explainer::product(RowView got,
                               RowView want,
                               const TensorView& w,
                               RowView bias,
                               RowView x,
                               const std::vector<Candidate>& others,
                               ThreadPool& threads) const {
  const Row zero(want.size());
  if (same(got, zero) || same(got, plus(zero, bias))) return "the weights are zero on the device";
  if (!all_finite(got)) return "not finite: a weight on the device is NaN, or the sum overflows";
  if (!bias.empty() && same(got, recompute::product(w, {}, {x}, threads)[0]))
    return "the bias is not added";
  if (same(got, plus(untransposed_product(w, x), bias)))
    return "the matrix is used untransposed, with the wrong leading dimension";
  for (const auto& [name, other] : others)
    if (other.rows == w.rows && other.cols == w.cols)
      for (const RowView b : {bias, RowView{}})
        if (same(got, recompute::product(other, b, {x}, threads)[0]))
          return fmt::format("the weights of {} are used", name);
  if (same(got, plus(product_of_swapped_nibbles(w, x), bias)))
    return "the 4-bit halves of each byte are exchanged";
  if (std::string rows = few_rows(got, want, bound); !rows.empty()) return rows;
  return "the device's weights are not those of the file, or their product is wrong";
}

}  // namespace haikuda
