// Ops that read weights, for every type: each against its CPU twin.
#include <cmath>

#include "base/half.h"
#include "cpu/ops.h"
#include "cuda/gemm.h"
#include "cuda/ops.h"
#include "device_array.h"
#include "quant/dequantize.h"
#include "support/nmse.h"
#include "support/random.h"
#include "support/random_blocks.h"

namespace haikuda::test {
namespace {

const DTypeInfo& any_dtype() {
  const auto all = all_dtypes();
  return all[static_cast<std::size_t>(GENERATE(range(0, static_cast<int>(all_dtypes().size()))))];
}

TestMatrix random_matrix(DType dtype, int rows, int cols, std::uint64_t seed = 7) {
  return {dtype, rows, cols, random_weights(dtype, rows, cols, 0.05f, seed)};
}

std::vector<float> decoded(const TestMatrix& w) {
  std::vector<float> out(static_cast<std::size_t>(w.host.size()));
  dequantize_row(w.host.dtype, w.host.data, out.data(), w.host.size());
  return out;
}

// Equal bits; any NaN equals any other.
std::size_t count_differences(std::span<const float> got, std::span<const float> want) {
  std::size_t n = got.size() == want.size() ? 0 : 1;
  for (std::size_t i = 0; i < got.size() && i < want.size(); ++i)
    n += std::bit_cast<std::uint32_t>(got[i]) != std::bit_cast<std::uint32_t>(want[i]) &&
         !(std::isnan(got[i]) && std::isnan(want[i]));
  return n;
}

// Normal, with some elements a thousand times as large.
std::vector<float> heavy_tailed(std::size_t n, std::uint64_t seed) {
  std::vector<float> x = random_normal(n, seed);
  for (std::size_t i = 0; i < n; i += 97) x[i] *= 1000;
  return x;
}

std::vector<float> cpu_matmul(const TestMatrix& w, const std::vector<float>& x, int n) {
  static ThreadPool threads;
  std::vector<float> y(static_cast<std::size_t>(n) * static_cast<std::size_t>(w.host.rows));
  cpu::matmul(y.data(), x.data(), w.host, n, threads);
  return y;
}

}  // namespace

TEST_CASE("embed: cuda decodes exactly the rows that cpu decodes", "[cuda][ops][sanitize]") {
  const DTypeInfo& type = any_dtype();
  const int cols = GENERATE(1, 7, 8, 31, 32, 33, 96, 256, 768, 896);
  if (is_thin() && cols != 7 && cols != 256) return;
  if (cols % type.block_elems != 0) return;
  CAPTURE(type.name, cols);
  const TestMatrix w = random_matrix(type.dtype, 9, cols);
  const std::vector<int> ids = {0, 0, 8, 3, 0, 8};
  const int position = 2, n = 4;
  const DeviceArray<int> tokens(ids), at(std::vector<int>{position});
  const DeviceArray<float> out(static_cast<std::size_t>(n * cols));
  cuda::embed(out.data(), w.device, tokens.data(), at.data(), n, test_stream().get());

  std::vector<float> want(out.size());
  cpu::embed(want.data(), w.host, std::span(ids).subspan(position));
  CHECK(count_differences(out.read(), want) == 0);
}

TEST_CASE("dequantize: any bytes decode to the same bits as on the cpu", "[cuda][ops][sanitize]") {
  const DTypeInfo& type = any_dtype();
  CAPTURE(type.name);
  const int rows = 64, cols = 512;
  Random random(11);
  std::vector<std::byte> bytes(row_bytes(type.dtype, cols) * rows);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.byte());
  const TestMatrix w(type.dtype, rows, cols, bytes);
  const DeviceArray<float> out(rows * cols);
  cuda::dequantize_to_f32(out.data(), w.device, test_stream().get());
  CHECK(count_differences(out.read(), decoded(w)) == 0);
}

TEST_CASE("dequantize: to half and to bfloat16 rounds the exact values", "[cuda][ops][sanitize]") {
  const DTypeInfo& type = any_dtype();
  if (type.block_elems == 1 && type.dtype != DType::F16) return;
  CAPTURE(type.name);
  const int rows = 5, cols = 512;
  const TestMatrix w = random_matrix(type.dtype, rows, cols);
  const DeviceArray<std::uint16_t> out(rows * cols);
  const bool bf16 = type.dtype == DType::MXFP4;
  if (bf16)
    cuda::dequantize_to_bf16(out.data(), w.device, test_stream().get());
  else
    cuda::dequantize_to_f16(reinterpret_cast<__half*>(out.data()), w.device, 0, rows,
                            test_stream().get());
  std::vector<std::uint16_t> want;
  for (const float x : decoded(w)) want.push_back(bf16 ? float_to_bf16(x) : float_to_half(x));
  CHECK(out.read() == want);
}

TEST_CASE("gemv: cuda matches cpu for every type", "[cuda][ops][sanitize]") {
  const DTypeInfo& type = any_dtype();
  const auto [rows, cols] = GENERATE(table<int, int>(
      {{1, 1}, {9, 7}, {7, 32}, {8, 33}, {33, 256}, {5, 896}, {130, 1024}, {3, 4864}}));
  const int n = GENERATE(1, 3, 8, 13);
  if (is_thin() && cols != 7 && cols != 256) return;
  if (cols % type.block_elems != 0) return;
  CAPTURE(type.name, rows, cols, n);
  const TestMatrix w = random_matrix(type.dtype, rows, cols);
  const std::vector<float> x = heavy_tailed(static_cast<std::size_t>(n * cols), 3);
  const DeviceArray<float> device_x(x), y(static_cast<std::size_t>(n * rows));
  cuda::gemv(y.data(), device_x.data(), w.device, n, test_stream().get());
  CHECK_THAT(y.read(), NmseBelow(cpu_matmul(w, x, n), 1e-10));
}

TEST_CASE("gemv: the rows of a real vocabulary", "[cuda][ops][big]") {
  const DType type = GENERATE(DType::F16, DType::Q8_0, DType::Q6_K);
  CAPTURE(dtype_name(type));
  const int rows = 151936, cols = 256;
  const TestMatrix w = random_matrix(type, rows, cols);
  const std::vector<float> x = random_normal(cols, 3);
  const DeviceArray<float> device_x(x), y(rows);
  cuda::gemv(y.data(), device_x.data(), w.device, 1, test_stream().get());
  CHECK_THAT(y.read(), NmseBelow(cpu_matmul(w, x, 1), 1e-10));
}

namespace {

// What the precision rule of cuda/gemm.h costs: both factors rounded to half (2^-11 of each at
// most, which is 1e-6 where one product outweighs the others), or activations cut to two bfloat16,
// or F32 sums in another order.
double gemm_bound(DType type) {
  switch (type) {
    case DType::F32:
      return 1e-11;
    case DType::BF16:
    case DType::MXFP4:
      return 1e-9;
    default:
      return 1e-6;
  }
}

// One for all tests: creating a cuBLAS handle takes long.
cuda::Gemm& shared_gemm(bool has_bfloat16) {
  const cuda::Gemm::Sizes sizes{.weight_bytes = 1 << 20, .input_elems = 1 << 16, .n_rows = 64};
  static cuda::Gemm with(sizes, true, test_stream().get());
  static cuda::Gemm without(sizes, false, test_stream().get());
  return has_bfloat16 ? with : without;
}

std::vector<float> cuda_matmul(const TestMatrix& w,
                               const std::vector<float>& x,
                               int n,
                               bool has_bfloat16 = true) {
  const DeviceArray<float> device_x(x),
      y(static_cast<std::size_t>(n) * static_cast<std::size_t>(w.host.rows));
  shared_gemm(has_bfloat16).multiply({{y.data(), w.device}}, device_x.data(), n);
  CHECK(shared_gemm(has_bfloat16).found_cublas());
  return y.read();
}

}  // namespace

TEST_CASE("gemm: cuda matches cpu for every type", "[cuda][ops][gemm]") {
  const DTypeInfo& type = any_dtype();
  const auto [n, rows, cols] =
      GENERATE(table<int, int, int>({{9, 1, 256}, {17, 33, 256}, {64, 130, 768}, {11, 9, 31}}));
  const bool has_bfloat16 = GENERATE(true, false);
  if (cols % type.block_elems != 0) return;
  CAPTURE(type.name, n, rows, cols, has_bfloat16);
  const TestMatrix w = random_matrix(type.dtype, rows, cols);
  const std::vector<float> x = heavy_tailed(static_cast<std::size_t>(n * cols), 5);
  CHECK_THAT(cuda_matmul(w, x, n, has_bfloat16),
             NmseBelow(cpu_matmul(w, x, n), gemm_bound(type.dtype)));
}

TEST_CASE("gemm: activations beyond the range of half keep their precision", "[cuda][ops][gemm]") {
  const DType type = GENERATE(DType::F16, DType::Q8_0, DType::BF16, DType::F32);
  const float scale = GENERATE(1e-30f, 1e-9f, 1e-4f, 1e5f, 1e9f, 1e30f);
  CAPTURE(dtype_name(type), scale);
  const int n = 12, rows = 40, cols = 256;
  const TestMatrix w = random_matrix(type, rows, cols);
  std::vector<float> x = random_normal(n * cols, 5);
  for (int i = 0; i < 3 * cols; ++i)
    x[static_cast<std::size_t>(i)] *= scale;  // the first three tokens only
  const std::vector<float> got = cuda_matmul(w, x, n), want = cpu_matmul(w, x, n);
  for (const int first : {0, 3}) {  // each group by itself: one is far larger
    const auto part = [&](const std::vector<float>& y) {
      return std::vector<float>(y.begin() + first * rows, y.begin() + (first == 0 ? 3 : n) * rows);
    };
    std::vector<float> want_part = part(want), got_part = part(got);
    const float norm = first == 0 ? scale : 1;  // keeps the squares in range
    for (auto* y : {&want_part, &got_part})
      for (float& v : *y) v /= norm;
    CHECK_THAT(got_part, NmseBelow(want_part, gemm_bound(type)));
  }
}

TEST_CASE("gemm: products that share an input may have any mixture of types",
          "[cuda][ops][gemm][sanitize]") {
  const int n = 12, cols = 256;
  const DType types[] = {DType::Q4_K, DType::BF16, DType::F32, DType::F16, DType::MXFP4};
  std::vector<std::unique_ptr<TestMatrix>> w;
  cuda::Gemm::Sizes sizes{.n_rows = n};
  for (const DType type : types) {
    const int rows = 10 + static_cast<int>(w.size());
    w.push_back(std::make_unique<TestMatrix>(type, rows, cols,
                                             random_weights(type, rows, cols, 0.05f, w.size())));
    sizes.add(type, rows, cols, true);
  }
  const std::vector<float> x = random_normal(n * cols, 5);
  const DeviceArray<float> device_x(x);
  std::vector<std::unique_ptr<DeviceArray<float>>> y;
  for (const auto& m : w)
    y.push_back(std::make_unique<DeviceArray<float>>(static_cast<std::size_t>(n * m->host.rows)));
  cuda::Gemm gemm(sizes, true, test_stream().get());
  gemm.multiply({{y[0]->data(), w[0]->device},
                 {y[1]->data(), w[1]->device},
                 {y[2]->data(), w[2]->device},
                 {y[3]->data(), w[3]->device},
                 {y[4]->data(), w[4]->device}},
                device_x.data(), n);
  for (std::size_t i = 0; i < w.size(); ++i) {
    CAPTURE(dtype_name(types[i]));
    CHECK_THAT(y[i]->read(), NmseBelow(cpu_matmul(*w[i], x, n), gemm_bound(types[i])));
  }
}

TEST_CASE("convert: rows of half are scaled by powers of two that keep them in range",
          "[cuda][ops][sanitize]") {
  const int cols = GENERATE(1, 33, 896);
  const std::vector<float> scales = {1, 0, 1e-40f, 1e-30f, 1e-5f, 1e4f, 1e5f, 1e38f};
  const int n = static_cast<int>(scales.size());
  CAPTURE(cols);
  std::vector<float> x = random_uniform(static_cast<std::size_t>(n * cols), 5);
  for (int i = 0; i < n * cols; ++i)
    x[static_cast<std::size_t>(i)] *= scales[static_cast<std::size_t>(i / cols)];
  const DeviceArray<float> device_x(x), scale(static_cast<std::size_t>(n)),
      ones(std::vector<float>(x.size(), 1.0f));
  const DeviceArray<std::uint16_t> out(x.size());
  cuda::to_f16_rows(reinterpret_cast<__half*>(out.data()), scale.data(), device_x.data(), n, cols,
                    test_stream().get());
  cuda::unscale_rows(ones.data(), scale.data(), n, cols, test_stream().get());

  const std::vector<float> factor = scale.read(), unscaled = ones.read();
  const std::vector<std::uint16_t> half = out.read();
  for (int t = 0; t < n; ++t) {
    const auto begin = static_cast<std::size_t>(t * cols), size = static_cast<std::size_t>(cols);
    float magnitude = 0;
    for (std::size_t i = begin; i < begin + size; ++i)
      magnitude = std::max(magnitude, std::abs(x[i]));
    CAPTURE(t, magnitude, factor[static_cast<std::size_t>(t)]);
    int exponent = 0;
    CHECK(std::frexp(factor[static_cast<std::size_t>(t)], &exponent) == 0.5f);
    if (magnitude == 0 || (magnitude >= 0x1p-4f && magnitude <= 0x1p15f))
      CHECK(factor[static_cast<std::size_t>(t)] == 1);
    double worst = 0;
    for (std::size_t i = begin; i < begin + size; ++i) {
      const double back = static_cast<double>(half_to_float(half[i])) *
                          static_cast<double>(factor[static_cast<std::size_t>(t)]);
      worst = std::max(worst, std::abs(back - static_cast<double>(x[i])));
      CHECK(unscaled[i] == factor[static_cast<std::size_t>(t)]);
    }
    CHECK(worst <= 0x1p-11 * static_cast<double>(magnitude));
  }
}

TEST_CASE("convert: not finite stays not finite, two bfloat16 hold 16 bits",
          "[cuda][ops][sanitize]") {
  std::vector<float> x = random_normal(300, 5, 1e6f);
  x[7] = std::nanf(""), x[8] = -INFINITY;
  const DeviceArray<float> device_x(x), scale(1);
  const DeviceArray<std::uint16_t> half(x.size()), high(x.size()), low(x.size());
  cuda::to_f16_rows(reinterpret_cast<__half*>(half.data()), scale.data(), device_x.data(), 1, 300,
                    test_stream().get());
  cuda::split_to_bf16(high.data(), low.data(), device_x.data(), 300, test_stream().get());
  CHECK(std::isnan(half_to_float(half.read()[7])));
  CHECK(std::isinf(half_to_float(half.read()[8])));
  const auto h = high.read(), l = low.read();
  CHECK(std::isnan(bf16_to_float(h[7])));
  for (std::size_t i = 9; i < x.size(); ++i)
    CHECK(std::abs(bf16_to_float(h[i]) + bf16_to_float(l[i]) - x[i]) <= 0x1p-16f * std::abs(x[i]));
}

}  // namespace haikuda::test
