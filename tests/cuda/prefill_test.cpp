// What prompts of more than a few tokens go through: ops in half against the CPU's, products of
// several matrices, and models whose activations exceed half's range.
#include <cmath>
#include <cstring>

#include "base/half.h"
#include "cpu/ops.h"
#include "cuda/cublas_lt.h"
#include "cuda/forward.h"
#include "cuda/gemm.h"
#include "cuda/half_scales.h"
#include "cuda/ops.h"
#include "device_array.h"
#include "model_pair.h"
#include "quant/dequantize.h"
#include "support/expect_error.h"
#include "support/nmse.h"
#include "support/random.h"
#include "support/random_blocks.h"

namespace haikuda::test {
namespace {

// One rounding to half costs 4.3e-8 of normal values.
constexpr double kHalfBound = 1e-7;

using Halves = std::vector<std::uint16_t>;

Halves to_half(const std::vector<float>& values) {
  Halves out;
  for (const float x : values) out.push_back(float_to_half(x));
  return out;
}
std::vector<float> to_float(const Halves& values, float factor = 1) {
  std::vector<float> out;
  for (const std::uint16_t x : values) out.push_back(half_to_float(x) * factor);
  return out;
}
Halves random_halves(std::size_t n, std::uint64_t seed, float scale = 1) {
  return to_half(random_normal(n, seed, scale));
}
__half* halves(const DeviceArray<std::uint16_t>& a) {
  return reinterpret_cast<__half*>(a.data());
}

std::size_t size_of(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

struct AttentionCase {
  int n, position, n_heads, n_kv_heads, head_dim;
  float q_scale = 1;
};

// Over a cache whose unused rows are NaN; out takes the place of q.
void check_attention_half(const AttentionCase& c) {
  CAPTURE(c.n, c.position, c.n_heads, c.n_kv_heads, c.head_dim, c.q_scale);
  static ThreadPool threads;
  const int n_used = c.position + c.n, kv_size = c.n_kv_heads * c.head_dim;
  Halves k = random_halves(size_of(n_used + 70, kv_size), 1),
         v = random_halves(size_of(n_used + 70, kv_size), 2);
  for (Halves* cache : {&k, &v})
    std::fill(cache->begin() + std::ptrdiff_t{n_used} * kv_size, cache->end(),
              std::uint16_t{0x7e00});
  const Halves q = random_halves(size_of(c.n, c.n_heads * c.head_dim), 3);
  std::vector<float> scale(size_of(c.n, c.n_heads)), exact_q = to_float(q);
  for (std::size_t i = 0; i < scale.size(); ++i)
    scale[i] = std::ldexp(c.q_scale, static_cast<int>(i % 3));
  for (std::size_t i = 0; i < exact_q.size(); ++i)
    exact_q[i] *= scale[i / static_cast<std::size_t>(c.head_dim)];
  std::vector<float> want(q.size());
  cpu::attention(want.data(), exact_q.data(), to_float(k).data(), to_float(v).data(),
                 {.n = c.n,
                  .position = c.position,
                  .n_heads = c.n_heads,
                  .n_kv_heads = c.n_kv_heads,
                  .head_dim = c.head_dim},
                 threads);

  const DeviceArray<std::uint16_t> dq(q), dk(k), dv(v), out(q.size());
  const DeviceArray<float> dscale(scale);
  const DeviceArray<int> position(std::vector<int>{c.position});
  for (const auto* to : {&out, &dq})
    cuda::attention_half(
        halves(*to), {halves(dq), dscale.data()}, halves(dk), halves(dv), position.data(),
        {.n = c.n, .n_heads = c.n_heads, .n_kv_heads = c.n_kv_heads, .head_dim = c.head_dim},
        test_stream().get());
  CHECK_THAT(to_float(out.read()), NmseBelow(want, 1.5e-7));  // weights and result are rounded
  CHECK(dq.read() == out.read());
}

}  // namespace

TEST_CASE("attention_half: matches cpu at any position and ratio of heads",
          "[cuda][ops][attention][prefill]") {
  const auto [n_heads, n_kv_heads] = GENERATE(table<int, int>({{1, 1}, {4, 1}, {14, 2}, {8, 8}}));
  const int position = GENERATE(0, 1, 31, 63, 64, 65, 300);
  const int n = GENERATE(1, 9, 16, 17, 70, 129);
  check_attention_half({n, position, n_heads, n_kv_heads, 64});
}

TEST_CASE("attention_half: heads of any size that is a multiple of 8",
          "[cuda][ops][attention][sanitize][prefill]") {
  const int head_dim = GENERATE(8, 32, 64, 72, 80, 96, 128, 136, 192, 256);
  const auto [n, position] = GENERATE(table<int, int>({{1, 40}, {9, 0}, {37, 70}}));
  check_attention_half({n, position, 4, 2, head_dim});
}

// So many that the blocks have eight warps.
TEST_CASE("attention_half: many heads", "[cuda][ops][attention][sanitize][prefill]") {
  const int head_dim = GENERATE(64, 128, 256);
  check_attention_half({64, 0, 264, 132, head_dim});
}

TEST_CASE("attention_half: scores far beyond the range of half",
          "[cuda][ops][attention][prefill]") {
  const float q_scale = GENERATE(20.0f, 1e4f, 1e6f);
  check_attention_half({37, 100, 4, 2, 64, q_scale});
}

// Enough rows for the blocks of eight warps.
TEST_CASE("attention_half: real shapes", "[cuda][ops][attention][big][prefill]") {
  check_attention_half({512, 0, 14, 2, 64});
  check_attention_half({1200, 300, 14, 2, 64});
  check_attention_half({700, 0, 28, 4, 128});
  check_attention_half({600, 10, 32, 8, 256});
}

TEST_CASE("attention_half: three runs give equal bits", "[cuda][ops][attention][prefill]") {
  const int n = 600, n_heads = 14, n_kv_heads = 2, head_dim = 64;
  const DeviceArray<std::uint16_t> q(random_halves(size_of(n, n_heads * head_dim), 1)),
      k(random_halves(size_of(n, n_kv_heads * head_dim), 2)),
      v(random_halves(size_of(n, n_kv_heads * head_dim), 3)), out(q.size());
  const DeviceArray<float> scale(std::vector<float>(size_of(n, n_heads), 1.0f));
  const DeviceArray<int> position(std::vector<int>{0});
  Halves first;
  for (int run = 0; run < 3; ++run) {
    cuda::attention_half(
        halves(out), {halves(q), scale.data()}, halves(k), halves(v), position.data(),
        {.n = n, .n_heads = n_heads, .n_kv_heads = n_kv_heads, .head_dim = head_dim},
        test_stream().get());
    if (run == 0) first = out.read();
    CHECK(out.read() == first);
  }
}

TEST_CASE("rms_norm_half: cuda matches cpu", "[cuda][ops][sanitize][prefill]") {
  const int size = GENERATE(4, 256, 896, 1024, 1028, 2048, 3584, 4096, 8192, 16384);
  const float factor = GENERATE(1.0f, 512.0f), scale = GENERATE(1e-6f, 1.0f, 1e6f);
  if (is_thin() && scale != 1) return;
  CAPTURE(size, factor, scale);
  const int n = 3;
  const std::vector<float> x = random_normal(size_of(n, size), 1, scale),
                           weight = random_normal(size_of(1, size), 2);
  std::vector<float> want(x.size());
  cpu::rms_norm(want.data(), x.data(), weight.data(), n, size, 1e-6f);
  const DeviceArray<float> dx(x), dweight(weight);
  const DeviceArray<std::uint16_t> out(x.size());
  cuda::rms_norm_half(halves(out), dx.data(), dweight.data(), n, {size, 1e-6f, factor},
                      test_stream().get());
  // Without a factor the norm of tiny x is itself below half's smallest normal number.
  if (scale < 1 && factor == 1) return;
  CHECK_THAT(to_float(out.read(), 1 / factor), NmseBelow(want, kHalfBound));
}

TEST_CASE("silu_mul_half: with one scale and with one for each row",
          "[cuda][ops][sanitize][prefill]") {
  const int n_ff = GENERATE(8, 512, 2056, 4864), n = 3;
  const float in_factor = GENERATE(0.125f, 1.0f, 1024.0f);
  CAPTURE(n_ff, in_factor);
  const Halves gate_up = random_halves(size_of(n, 2 * n_ff), 1, 16);
  std::vector<float> gate, up;
  for (int t = 0; t < n; ++t)
    for (int i = 0; i < n_ff; ++i) {
      gate.push_back(half_to_float(gate_up[size_of(t, 2 * n_ff) + static_cast<std::size_t>(i)]) *
                     in_factor);
      up.push_back(
          half_to_float(gate_up[size_of(t, 2 * n_ff) + static_cast<std::size_t>(n_ff + i)]) *
          in_factor);
    }
  cpu::silu_mul(gate.data(), up.data(), n * n_ff);
  const auto acts_of = [&](const Halves& all, const std::vector<float>& scale) {
    std::vector<float> out;
    for (int t = 0; t < n; ++t)
      for (int i = 0; i < n_ff; ++i)
        out.push_back(half_to_float(all[size_of(t, 2 * n_ff) + static_cast<std::size_t>(i)]) *
                      scale[static_cast<std::size_t>(t)]);
    return out;
  };
  const float out_factor = cuda::scale_to_half(100.0 * 100 * in_factor * in_factor);
  const DeviceArray<std::uint16_t> one(gate_up), by_row(gate_up);
  const DeviceArray<float> scale(static_cast<std::size_t>(n));
  cuda::silu_mul_half(halves(one), n, n_ff, in_factor, out_factor, test_stream().get());
  cuda::silu_mul_half_rows(halves(by_row), scale.data(), n, n_ff, in_factor, test_stream().get());
  CHECK_THAT(acts_of(one.read(), std::vector<float>(static_cast<std::size_t>(n), 1 / out_factor)),
             NmseBelow(gate, kHalfBound));
  CHECK_THAT(acts_of(by_row.read(), scale.read()), NmseBelow(gate, kHalfBound));
}

TEST_CASE("finish_qkv_half: q in half, the cache as finish_qkv leaves it",
          "[cuda][ops][sanitize][prefill]") {
  const RopeStyle style = GENERATE(RopeStyle::neox, RopeStyle::interleaved);
  const auto [n_heads, n_kv_heads, head_dim, n_dims] = GENERATE(table<int, int, int, int>(
      {{14, 2, 64, 64}, {8, 1, 80, 32}, {4, 4, 128, 128}, {2, 1, 256, 130}}));
  const bool norm = GENERATE(false, true);
  const float q_scale = GENERATE(1e-9f, 1.0f, 1e9f);
  if (is_thin() && q_scale != 1) return;
  CAPTURE(style == RopeStyle::neox, n_heads, n_kv_heads, head_dim, n_dims, norm, q_scale);
  const int n = 5, n_ctx = 20, q_size = n_heads * head_dim, kv_size = n_kv_heads * head_dim;
  const std::vector<float> q = random_normal(size_of(n, q_size), 1, q_scale),
                           k = random_normal(size_of(n, kv_size), 2),
                           v = random_normal(size_of(n, kv_size), 3);
  std::vector<float> qkv;
  const auto append_row = [&](const std::vector<float>& from, int token, int size) {
    const auto begin = from.begin() + std::ptrdiff_t{token} * size;
    qkv.insert(qkv.end(), begin, begin + size);
  };
  for (int t = 0; t < n; ++t)
    append_row(q, t, q_size), append_row(k, t, kv_size), append_row(v, t, kv_size);

  const DeviceArray<float> dq(q), dk(k), dv(v), dqkv(qkv),
      q_norm(random_normal(size_of(1, head_dim), 4)),
      k_norm(random_normal(size_of(1, head_dim), 5)),
      cos_sin(random_normal(size_of(n_ctx, n_dims), 6)), scale(size_of(n, n_heads));
  const DeviceArray<std::uint16_t> k_cache(size_of(n_ctx, kv_size)), v_cache(k_cache.size()),
      k_want(k_cache.size()), v_want(k_cache.size()), q_half(q.size());
  const DeviceArray<int> at(std::vector<int>{7});
  const cuda::QkvVectors vectors{.q_bias = nullptr,
                                 .k_bias = nullptr,
                                 .v_bias = nullptr,
                                 .q_norm = norm ? q_norm.data() : nullptr,
                                 .k_norm = norm ? k_norm.data() : nullptr,
                                 .cos_sin = cos_sin.data()};
  const cuda::QkvShape shape{.n = n,
                             .n_heads = n_heads,
                             .n_kv_heads = n_kv_heads,
                             .head_dim = head_dim,
                             .n_dims = n_dims,
                             .style = style,
                             .eps = 1e-30f};
  cuda::finish_qkv_half({halves(q_half), scale.data()}, halves(k_cache), halves(v_cache),
                        dqkv.data(), at.data(), vectors, shape, test_stream().get());
  cuda::finish_qkv(dq.data(), halves(k_want), halves(v_want), dk.data(), dv.data(), at.data(),
                   vectors, shape, test_stream().get());
  CHECK(k_cache.read() == k_want.read());
  CHECK(v_cache.read() == v_want.read());
  std::vector<float> want = dq.read(), got = to_float(q_half.read());
  const std::vector<float> scales = scale.read();
  for (std::size_t i = 0; i < got.size(); ++i) {
    got[i] *= scales[i / static_cast<std::size_t>(head_dim)];
    if (!norm) got[i] /= q_scale, want[i] /= q_scale;  // keeps the squares in range
  }
  CHECK_THAT(got, NmseBelow(want, kHalfBound));
}

TEST_CASE("convert: rows of halves widened and added", "[cuda][ops][sanitize][prefill]") {
  const int n = 3, cols = 300, stride = 512;
  const Halves in = random_halves(size_of(n, stride), 1);
  const std::vector<float> factors = {1, 0.5f, 1024}, x = random_normal(size_of(n, cols), 2);
  const DeviceArray<std::uint16_t> din(in);
  const DeviceArray<float> dfactors(factors), wide(x.size()), sum(x);
  cuda::widen_rows(wide.data(), halves(din), n, cols,
                   {.stride = stride, .factor = 2, .row_factors = dfactors.data()},
                   test_stream().get());
  cuda::add_scaled_rows(sum.data(), wide.data(), dfactors.data(), n, cols, test_stream().get());
  std::vector<float> want_wide, want_sum;
  for (int t = 0; t < n; ++t)
    for (int i = 0; i < cols; ++i) {
      const float factor = factors[static_cast<std::size_t>(t)];
      want_wide.push_back(half_to_float(in[size_of(t, stride) + static_cast<std::size_t>(i)]) * 2 *
                          factor);
      want_sum.push_back(x[size_of(t, cols) + static_cast<std::size_t>(i)] +
                         want_wide.back() * factor);
    }
  CHECK(wide.read() == want_wide);
  CHECK_THAT(sum.read(), NmseBelow(want_sum, 1e-12));
}

TEST_CASE("greatest_row_norm: of any type that half takes, and the scales that follow",
          "[cuda][ops][sanitize][prefill]") {
  const DType type = all_dtypes()[static_cast<std::size_t>(
                                      GENERATE(range(0, static_cast<int>(all_dtypes().size()))))]
                         .dtype;
  const int rows = GENERATE(1, 9, 600, 20000), cols = 256;
  if (!cuda::Gemm::takes_half(type) || (is_thin() && rows != 9)) return;
  CAPTURE(dtype_name(type), rows);
  const TestMatrix w(type, rows, cols, random_weights(type, rows, cols, 0.05f, 3));
  const std::vector<float> gamma = random_normal(size_of(1, cols), 4);
  std::vector<float> values(size_of(rows, cols));
  dequantize_row(type, w.host.data, values.data(), w.host.size());
  double want = 0;
  for (int r = 0; r < rows; ++r) {
    double sum = 0;
    for (int i = 0; i < cols; ++i) {
      const double x = static_cast<double>(values[size_of(r, cols) + static_cast<std::size_t>(i)]) *
                       static_cast<double>(gamma[static_cast<std::size_t>(i)]);
      sum += x * x;
    }
    want = std::max(want, std::sqrt(sum));
  }
  const DeviceArray<float> dgamma(gamma), out(std::vector<float>{0.0f});
  cuda::greatest_row_norm(out.data(), w.device, dgamma.data(), test_stream().get());
  CHECK(std::abs(static_cast<double>(out.read()[0]) - want) <= 1e-5 * want);

  for (const double bound : {1e-30, 0.3, 1.0, 65000.0, 65001.0, 1e12}) {
    const double stored = bound * static_cast<double>(cuda::scale_to_half(bound));
    CAPTURE(bound);
    CHECK(stored <= 65000);
    if (bound > 1e-12) CHECK(stored > 32400);
  }
  CHECK(cuda::scale_to_half(0) == 1);
  CHECK(cuda::scale_to_half(INFINITY) == 1);
}

namespace {

// Matrices of the types, one below the other in the product; F16 ones side by side in memory when
// `together`.
struct Stacked {
  Stacked(const std::vector<DType>& types, const std::vector<int>& rows, int cols, bool together)
      : room(together ? total_bytes(types, rows, cols) : 0) {
    std::size_t used = 0;
    for (std::size_t i = 0; i < types.size(); ++i) {
      const auto bytes = random_weights(types[i], rows[i], cols, 0.05f, i);
      matrices.push_back(std::make_unique<TestMatrix>(types[i], rows[i], cols, bytes));
      views.push_back(matrices.back()->device);
      if (!together) continue;
      views.back().data = room.data() + used;
      cuda::check_cuda(
          cudaMemcpy(room.data() + used, bytes.data(), bytes.size(), cudaMemcpyHostToDevice),
          "cudaMemcpy", __FILE__, __LINE__);
      used += bytes.size();
    }
  }
  static std::size_t total_bytes(const std::vector<DType>& types,
                                 const std::vector<int>& rows,
                                 int cols) {
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < types.size(); ++i)
      bytes += random_weights(types[i], rows[i], cols, 0.05f, i).size();
    return bytes;
  }

  DeviceArray<std::byte> room;
  std::vector<std::unique_ptr<TestMatrix>> matrices;
  std::vector<cuda::DeviceTensor> views;
};

// alpha · x · wᵀ + beta · y in double precision.
std::vector<float> stacked_product(const Stacked& w,
                                   const std::vector<float>& x,
                                   int n,
                                   double alpha,
                                   double beta,
                                   const std::vector<float>& y) {
  std::vector<float> out;
  const auto cols = static_cast<std::size_t>(w.views[0].cols);
  std::vector<std::vector<float>> rows;
  for (const auto& m : w.matrices)
    for (std::int64_t r = 0; r < m->host.rows; ++r) {
      rows.emplace_back(cols);
      dequantize_row(m->host.dtype, m->host.row(r), rows.back().data(), m->host.cols);
    }
  for (std::size_t t = 0; t < static_cast<std::size_t>(n); ++t)
    for (const auto& row : rows) {
      double sum = 0;
      for (std::size_t i = 0; i < cols; ++i)
        sum += static_cast<double>(x[t * cols + i]) * static_cast<double>(row[i]);
      out.push_back(static_cast<float>(
          alpha * sum + (beta == 0 ? 0 : beta * static_cast<double>(y[out.size()]))));
    }
  return out;
}

}  // namespace

TEST_CASE("gemm: matrices below each other as one product", "[cuda][ops][gemm][prefill]") {
  const auto types = GENERATE(
      as<std::vector<DType>>{}, std::vector{DType::F16},
      std::vector{DType::F16, DType::F16, DType::F16}, std::vector{DType::Q8_0, DType::Q8_0},
      std::vector{DType::Q4_K, DType::Q4_K, DType::Q6_K}, std::vector{DType::F16, DType::Q5_0});
  const bool all_half =
      std::all_of(types.begin(), types.end(), [](DType t) { return t == DType::F16; });
  const bool together = all_half && GENERATE(false, true);
  const bool in_parts = GENERATE(false, true);  // too little room for all that is decoded
  const bool y_is_half = GENERATE(false, true);
  const int n = GENERATE(9, 130), cols = 256;
  const float beta = y_is_half ? 0.0f : GENERATE(0.0f, 1.0f), alpha = 0.25f;
  CAPTURE(types.size(), dtype_name(types.back()), together, in_parts, y_is_half, n, beta);
  std::vector<int> rows = {520, 264, 136};
  rows.resize(types.size());
  int n_rows = 0;
  for (const int r : rows) n_rows += r;
  const int y_stride = n_rows + 8, x_stride = cols + 8;
  const Stacked w(types, rows, cols, together);

  const Halves x = random_halves(size_of(n, x_stride), 5);
  std::vector<float> dense_x;
  for (std::size_t i = 0; i < x.size(); ++i)
    if (i % static_cast<std::size_t>(x_stride) < static_cast<std::size_t>(cols))
      dense_x.push_back(half_to_float(x[i]));
  const std::vector<float> y = random_normal(size_of(n, y_stride), 6);
  const auto dense = [&](const std::vector<float>& all) {
    std::vector<float> out;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (i % static_cast<std::size_t>(y_stride) < static_cast<std::size_t>(n_rows))
        out.push_back(all[i]);
    return out;
  };
  const std::vector<float> want = stacked_product(w, dense_x, n, alpha, beta, dense(y));

  const cuda::Gemm::Sizes sizes{.weight_bytes = in_parts ? size_of(300, cols) * 2 : 1 << 20};
  cuda::Gemm gemm(sizes, true, test_stream().get());
  REQUIRE(gemm.open());
  const DeviceArray<std::uint16_t> dx(x), y_half(y.size());
  const DeviceArray<float> y_float(y);
  gemm.multiply({.y = y_is_half ? static_cast<void*>(y_half.data()) : y_float.data(),
                 .y_is_half = y_is_half,
                 .y_stride = y_stride,
                 .x = halves(dx),
                 .x_stride = x_stride,
                 .w = w.views,
                 .n = n,
                 .alpha = alpha,
                 .beta = beta});
  const std::vector<float> got = y_is_half ? to_float(y_half.read()) : y_float.read();
  // Quantized weights and half results are rounded once more.
  CHECK_THAT(dense(got), NmseBelow(want, all_half && !y_is_half ? 1e-11 : 1.5e-7));
  for (std::size_t i = 0; i < got.size(); ++i)
    if (i % static_cast<std::size_t>(y_stride) >= static_cast<std::size_t>(n_rows))
      REQUIRE((y_is_half ? std::isnan(got[i]) : got[i] == y[i]));  // between rows
}

TEST_CASE("cublas_lt: what the library refuses is an error", "[cuda][ops][gemm][prefill]") {
  const cuda::DeviceBuffer<std::byte> workspace(1 << 20);
  const auto cublas = cuda::CublasLt::open(workspace);
  REQUIRE(cublas != nullptr);
  const int n = 16, cols = 64;
  const DeviceArray<std::uint16_t> x(size_of(n, cols)), w(size_of(n, cols));
  const DeviceArray<float> y(size_of(n, n));
  cuda::CublasLt::Product product{.y = y.data(),
                                  .x = x.data(),
                                  .w = w.data(),
                                  .type = CUDA_R_16F,
                                  .y_type = CUDA_R_32F,
                                  .n = n,
                                  .rows = n,
                                  .cols = cols,
                                  .x_stride = cols,
                                  .y_stride = n,
                                  .alpha = 1,
                                  .beta = 0};
  cublas->multiply(product, test_stream().get());
  product.x_stride = cols / 2;  // rows that overlap
  std::string first;
  for (int i = 0; i < 2; ++i) {  // nothing is kept of the first attempt
    const Error error = error_of([&] { cublas->multiply(product, test_stream().get()); });
    CHECK(error.code() == ExitCode::gpu_fault);
    CHECK_THAT(error.what(), contains_text("cuBLAS status"));
    if (i == 0) first = error.what();
    CHECK(error.what() == first);
  }
  (void)y.read();
}

TEST_CASE("gemm: more than it has room for is refused", "[cuda][ops][gemm][prefill]") {
  const int n = 32, cols = 64;
  const TestMatrix w(DType::F16, 16, cols, random_weights(DType::F16, 16, cols, 0.05f, 3));
  const DeviceArray<float> x(random_normal(size_of(n, cols), 1)), y(size_of(n, 16));
  cuda::Gemm::Sizes sizes{.n_rows = n / 2};
  sizes.add(DType::F16, 16, cols, true);
  cuda::Gemm gemm(sizes, true, test_stream().get());
  CHECK(error_of([&] {
          gemm.multiply({{y.data(), w.device}}, x.data(), n);
        }).code() == ExitCode::internal);
}

TEST_CASE("scratch: sizes beyond 32 bits", "[cuda][prefill]") {
  ModelConfig config = TinyModel({}).model.config;
  config.n_ff = 1 << 20;
  const auto bytes = [&](int n_half) {
    return cuda::Scratch::bytes_needed(config, {.all = 16, .exact = 16, .half = n_half});
  };
  CHECK(bytes(4097) - bytes(1) == 4096 * (bytes(2) - bytes(1)));
  CHECK(bytes(4097) > std::size_t{1} << 34);
}

namespace {

// A tensor of F32 or F16 in the file, times a factor: all of it, or its first `n`.
void scale_tensor(GgufWriter& writer, const std::string& name, float factor, std::size_t n = 0) {
  RawTensor& t = writer.tensor(name);
  const bool half = t.type == 1;
  const std::size_t size = t.data.size() / (half ? 2 : 4);
  for (std::size_t i = 0; i < (n == 0 ? size : n); ++i) {
    if (half) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, t.data.data() + 2 * i, 2);
      bits = float_to_half(half_to_float(bits) * factor);
      std::memcpy(t.data.data() + 2 * i, &bits, 2);
    } else {
      float value = 0;
      std::memcpy(&value, t.data.data() + 4 * i, 4);
      value *= factor;
      std::memcpy(t.data.data() + 4 * i, &value, 4);
    }
  }
}

void check_long_prompt(const TinyModel& tiny, int n, double bound = 1e-5) {
  const auto cpu = tiny.on_cpu(n + 1), gpu = tiny.on_cuda(n + 1);
  const std::vector<int> prompt = random_tokens(n, tiny.model.config.n_vocab, 5), next = {3};
  CHECK_THAT(logits_after(*gpu, prompt), NmseBelow(logits_after(*cpu, prompt), bound));
  CHECK_THAT(logits_after(*gpu, next), NmseBelow(logits_after(*cpu, next), bound));
}

// The same of models whose attention is so sharp that rounding the cache to halves alone, on the
// CPU, moves the token after the prompt by up to 9e-4: it is compared with that.
void check_long_prompt_of_sharp_model(const TinyModel& tiny, int n) {
  const auto exact = make_cpu_backend(tiny.model, {.n_ctx = n + 1});
  const auto cpu = tiny.on_cpu(n + 1), gpu = tiny.on_cuda(n + 1);
  const std::vector<int> prompt = random_tokens(n, tiny.model.config.n_vocab, 5), next = {3};
  (void)logits_after(*exact, prompt);
  CHECK_THAT(logits_after(*gpu, prompt), NmseBelow(logits_after(*cpu, prompt), 1e-5));
  const std::vector<float> want = logits_after(*cpu, next);
  const double of_cache = nmse(want, logits_after(*exact, next));
  CAPTURE(of_cache);
  CHECK_THAT(logits_after(*gpu, next), NmseBelow(want, std::max(1e-5, 200 * of_cache)));
}

}  // namespace

// gate, up and their product are thousands, then billions: half ends at 65504.
TEST_CASE("prefill: activations beyond the range of half", "[cuda][model][prefill]") {
  const float norm_factor = GENERATE(1e-4f, 30.0f, 3e3f, 1e5f);
  CAPTURE(norm_factor);
  GgufWriter writer = tiny_model_writer({.architecture = "qwen2", .dtype = DType::F16});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    scale_tensor(writer, layer + "ffn_norm.weight", norm_factor);
    // The cache holds halves: K and V stay in their range.
    scale_tensor(writer, layer + "attn_norm.weight", std::min(norm_factor, 3e3f));
  }
  check_long_prompt_of_sharp_model(TinyModel(writer.finish(), "large.gguf"), 60);
}

// One row of gate and of up whose bound is far above all others: act is scaled row by row.
TEST_CASE("prefill: a bound that is far from what occurs", "[cuda][model][prefill]") {
  GgufWriter writer = tiny_model_writer({.architecture = "llama", .dtype = DType::F16});
  scale_tensor(writer, "blk.0.ffn_gate.weight", 3e4f, 256);
  scale_tensor(writer, "blk.0.ffn_up.weight", 3e4f, 256);
  scale_tensor(writer, "blk.0.ffn_down.weight", 1e-4f);
  check_long_prompt_of_sharp_model(TinyModel(writer.finish(), "large.gguf"), 60);
}

TEST_CASE("prefill: prompts of any length match cpu", "[cuda][model][prefill]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  const DType type = GENERATE(DType::F16, DType::Q8_0, DType::Q4_K);
  const int n = GENERATE(9, 16, 63, 64, 65, 200);
  CAPTURE(architecture, dtype_name(type), n);
  check_long_prompt(TinyModel({.architecture = architecture, .dtype = type}), n);
}

TEST_CASE("prefill: in chunks, at any position", "[cuda][model][prefill]") {
  const DType type = GENERATE(DType::F16, DType::Q5_0);
  const TinyModel tiny({.architecture = "qwen2", .dtype = type, .n_ctx = 1024});
  const std::vector<int> tokens = random_tokens(600, tiny.model.config.n_vocab, 7);
  const auto cpu = tiny.on_cpu(600);
  const std::vector<float> want = logits_after(*cpu, tokens);
  for (const int chunk : {600, 512, 100, 64, 9, 7}) {
    CAPTURE(dtype_name(type), chunk);
    CHECK_THAT(logits_after(*tiny.on_cuda(600, chunk), tokens), NmseBelow(want, 1e-5));
  }
}

}  // namespace haikuda::test
