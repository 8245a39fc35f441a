// The reference operations against their definitions, evaluated in double precision.
#include <cmath>
#include <vector>

#include "cpu/ops.h"
#include "quant/dequantize.h"
#include "support/catch.h"
#include "support/nmse.h"
#include "support/random.h"
#include "support/random_blocks.h"

namespace haikuda::test {
namespace {

std::size_t count(std::int64_t n) {
  return static_cast<std::size_t>(n);
}

TEST_CASE("matmul: is x times the transposed weights, for every type", "[cpu][ops]") {
  const DTypeInfo& info = all_dtypes()[GENERATE(range<std::size_t>(0, all_dtypes().size()))];
  const int n = GENERATE(1, 3);
  const std::int64_t rows = GENERATE(1, 7, 33), cols = 512;
  CAPTURE(info.name, n, rows);
  const auto bytes = random_weights(info.dtype, rows, cols, 0.1f, 5);
  const TensorView w{"w", info.dtype, rows, cols, bytes.data()};
  const auto x = random_normal(count(n * cols), 6);
  std::vector<float> dense(count(rows * cols)), want(count(n * rows)), got(count(n * rows), NAN);
  dequantize_row(info.dtype, bytes.data(), dense.data(), rows * cols);
  for (int t = 0; t < n; ++t)
    for (std::int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (std::int64_t c = 0; c < cols; ++c)
        sum += static_cast<double>(dense[count(r * cols + c)]) *
               static_cast<double>(x[count(t * cols + c)]);
      want[count(t * rows + r)] = static_cast<float>(sum);
    }
  ThreadPool threads(2);
  cpu::matmul(got.data(), x.data(), w, n, threads);
  REQUIRE_THAT(got, NmseBelow(want, 1e-12));
}

TEST_CASE("embed: takes the rows of the tokens", "[cpu][ops]") {
  const auto bytes = random_weights(DType::Q8_0, 10, 64, 1, 1);
  const TensorView table{"t", DType::Q8_0, 10, 64, bytes.data()};
  std::vector<float> got(2 * 64), want(64);
  const int tokens[] = {9, 3};
  cpu::embed(got.data(), table, tokens);
  for (int t = 0; t < 2; ++t) {
    dequantize_row(DType::Q8_0, table.row(tokens[t]), want.data(), 64);
    REQUIRE(std::vector<float>(got.begin() + t * 64, got.begin() + (t + 1) * 64) == want);
  }
}

TEST_CASE("rms_norm: divides by the root of the mean square", "[cpu][ops]") {
  const int size = GENERATE(1, 31, 64, 896), n = 2;
  const float eps = 1e-5f;
  const auto x = random_normal(count(n * size), 3, 10), weight = random_normal(count(size), 4);
  std::vector<float> got(x.size(), NAN), want(x.size());
  for (int t = 0; t < n; ++t) {
    double sum = 0;
    for (int i = 0; i < size; ++i) sum += std::pow(static_cast<double>(x[count(t * size + i)]), 2);
    for (int i = 0; i < size; ++i)
      want[count(t * size + i)] = static_cast<float>(
          static_cast<double>(x[count(t * size + i)]) /
          std::sqrt(sum / size + static_cast<double>(eps)) * static_cast<double>(weight[count(i)]));
  }
  cpu::rms_norm(got.data(), x.data(), weight.data(), n, size, eps);
  REQUIRE_THAT(got, NmseBelow(want, 1e-12));
}

TEST_CASE("rope: rotates the pairs of its style and leaves the rest of the head alone",
          "[cpu][ops]") {
  const RopeStyle style = GENERATE(RopeStyle::neox, RopeStyle::interleaved);
  const int head_dim = 8, n_dims = GENERATE(8, 4), n_pairs = n_dims / 2;
  const auto x = random_normal(head_dim, 9);
  std::vector<float> cos_sin, got = x, want = x;
  for (int i = 0; i < n_pairs; ++i) {
    const double angle = 0.3 * (i + 1);
    cos_sin.push_back(static_cast<float>(std::cos(angle)));
    cos_sin.push_back(static_cast<float>(std::sin(angle)));
    const auto a = count(style == RopeStyle::neox ? i : 2 * i),
               b = count(style == RopeStyle::neox ? i + n_pairs : 2 * i + 1);
    const auto xa = static_cast<double>(x[a]), xb = static_cast<double>(x[b]);
    want[a] = static_cast<float>(xa * std::cos(angle) - xb * std::sin(angle));
    want[b] = static_cast<float>(xa * std::sin(angle) + xb * std::cos(angle));
  }
  cpu::rope(got.data(), cos_sin.data(), 1, 1, head_dim, n_dims, style);
  REQUIRE_THAT(got, NmseBelow(want, 1e-13));
}

// out[head] = sum of v weighted by softmax(q · k / sqrt(d)), written out.
std::vector<float> naive_attention(const std::vector<float>& q,
                                   const std::vector<float>& k,
                                   const std::vector<float>& v,
                                   const cpu::AttentionShape& s) {
  const auto at = [](const std::vector<float>& x, int i) {
    return static_cast<double>(x[static_cast<std::size_t>(i)]);
  };
  std::vector<float> out;
  for (int t = 0; t < s.n; ++t)
    for (int h = 0; h < s.n_heads; ++h) {
      const int kv_head = h / (s.n_heads / s.n_kv_heads), n_keys = s.position + t + 1;
      std::vector<double> weight;
      double sum = 0;
      for (int j = 0; j < n_keys; ++j) {
        double score = 0;
        for (int d = 0; d < s.head_dim; ++d)
          score += at(q, (t * s.n_heads + h) * s.head_dim + d) *
                   at(k, (j * s.n_kv_heads + kv_head) * s.head_dim + d);
        weight.push_back(std::exp(score / std::sqrt(s.head_dim)));
        sum += weight.back();
      }
      for (int d = 0; d < s.head_dim; ++d) {
        double value = 0;
        for (int j = 0; j < n_keys; ++j)
          value += weight[count(j)] / sum * at(v, (j * s.n_kv_heads + kv_head) * s.head_dim + d);
        out.push_back(static_cast<float>(value));
      }
    }
  return out;
}

TEST_CASE("attention: causal, scaled, heads grouped by division; unused cache is never read",
          "[cpu][ops]") {
  const int n_kv_heads = GENERATE(1, 2), group = GENERATE(1, 4, 7), n = GENERATE(1, 5),
            position = GENERATE(0, 3, 40);
  const cpu::AttentionShape s{n, position, n_kv_heads * group, n_kv_heads, 16};
  CAPTURE(n_kv_heads, group, n, position);
  const int n_ctx = position + n + 3;
  auto k = random_normal(count(n_ctx * n_kv_heads * 16), 1), v = random_normal(k.size(), 2);
  const auto q = random_normal(count(n * s.n_heads * 16), 3);
  for (std::size_t i = count((position + n) * n_kv_heads * 16); i < k.size(); ++i)
    k[i] = v[i] = NAN;
  std::vector<float> got(q.size(), NAN);
  ThreadPool threads(2);
  cpu::attention(got.data(), q.data(), k.data(), v.data(), s, threads);
  REQUIRE_THAT(got, NmseBelow(naive_attention(q, k, v, s), 1e-12));
}

TEST_CASE("silu_mul: x sigmoid(x) times up, also far from zero", "[cpu][ops]") {
  std::vector<float> gate = {-200, -88, -1, 0, 1, 88, 200}, want;
  const std::vector<float> up = {1, 2, 3, 4, 5, 6, 7};
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const auto x = static_cast<double>(gate[i]);
    want.push_back(static_cast<float>(x / (1 + std::exp(-x)) * static_cast<double>(up[i])));
  }
  cpu::silu_mul(gate.data(), up.data(), static_cast<std::int64_t>(gate.size()));
  REQUIRE_THAT(gate, NmseBelow(want, 1e-13));
}

TEST_CASE("argmax: the lowest of equals, and never a NaN beside a number", "[cpu][ops]") {
  REQUIRE(cpu::argmax(std::vector<float>{1, 3, 3, 2}) == 1);
  REQUIRE(cpu::argmax(std::vector<float>{NAN, -5, NAN}) == 1);
  REQUIRE(cpu::argmax(std::vector<float>{-1}) == 0);
}

}  // namespace
}  // namespace haikuda::test
