// The fused products of decoding, for every type: each against the CPU ops that it stands for.
#include <array>
#include <cmath>
#include <memory>

#include "cpu/ops.h"
#include "cuda/gemv_plan.h"
#include "cuda/ops.h"
#include "device_array.h"
#include "support/nmse.h"
#include "support/random.h"
#include "support/random_blocks.h"

namespace haikuda::test {
namespace {

constexpr float kEps = 1e-6f;

const DTypeInfo& any_dtype() {
  const auto all = all_dtypes();
  return all[static_cast<std::size_t>(GENERATE(range(0, static_cast<int>(all_dtypes().size()))))];
}

bool takes_integers(DType dtype) {
  for (const DType t : {DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q8_0,
                        DType::Q4_K, DType::Q5_K, DType::Q6_K})
    if (t == dtype) return true;
  return false;
}

constexpr float kLevels = cuda::kActivationPlanes == 1 ? 127 : 32512;

// x as the products of this type see it: rounded to integers, 32 values a scale. What is left
// between them and the CPU's products of this is the order of F32 sums.
std::vector<float> as_seen_by(DType dtype, std::vector<float> x) {
  if (!takes_integers(dtype)) return x;
  for (std::size_t block = 0; block < x.size(); block += 32) {
    float greatest = 0;
    for (std::size_t i = block; i < block + 32; ++i) greatest = std::max(greatest, std::abs(x[i]));
    if (greatest < 0x1p-110f) greatest = 0;
    const float scale = greatest / kLevels, inverse = greatest == 0 ? 0 : kLevels / greatest;
    for (std::size_t i = block; i < block + 32; ++i) x[i] = scale * std::nearbyint(x[i] * inverse);
  }
  return x;
}

constexpr double kSumBound = 1e-9;
// What the rounding itself may cost, seen over many rows.
constexpr double kRoundingBound = cuda::kActivationPlanes == 1 ? 5e-4 : 1e-8;

// Normal, with some elements thirty times as large, as activations have them.
std::vector<float> activations(int n, std::uint64_t seed) {
  std::vector<float> x = random_normal(static_cast<std::size_t>(n), seed);
  for (std::size_t i = 5; i < x.size(); i += 97) x[i] *= 30;
  return x;
}
std::vector<float> near_one(int n, std::uint64_t seed) {
  return random_uniform(static_cast<std::size_t>(n), seed, 0.5f, 1.5f);
}

std::unique_ptr<TestMatrix> random_matrix(DType dtype, int rows, int cols, std::uint64_t seed) {
  return std::make_unique<TestMatrix>(dtype, rows, cols,
                                      random_weights(dtype, rows, cols, 0.05f, seed));
}

std::vector<float> cpu_product(const TestMatrix& w, const std::vector<float>& x) {
  static ThreadPool threads;
  std::vector<float> y(static_cast<std::size_t>(w.host.rows));
  cpu::matmul(y.data(), x.data(), w.host, 1, threads);
  return y;
}
std::vector<float> cpu_norm(const std::vector<float>& x, const std::vector<float>& gamma) {
  std::vector<float> out(x.size());
  cpu::rms_norm(out.data(), x.data(), gamma.data(), 1, static_cast<int>(x.size()), kEps);
  return out;
}
// The same, rounded where the kernels round: before the division by the root of the mean square.
std::vector<float> norm_seen_by(DType dtype,
                                const std::vector<float>& x,
                                const std::vector<float>& gamma) {
  if (!takes_integers(dtype)) return cpu_norm(x, gamma);
  std::vector<float> out = x;
  double squares = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    out[i] *= gamma[i];
    squares += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  }
  const auto factor = static_cast<float>(
      1 / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(kEps)));
  out = as_seen_by(dtype, out);
  for (float& v : out) v *= factor;
  return out;
}

// q, k and v of any types.
void check_norm_gemv(const std::vector<DType>& types,
                     const std::vector<int>& rows,
                     int cols,
                     const cuda::GemvPlan* plan = nullptr) {
  const std::vector<float> x = activations(cols, 3), gamma = near_one(cols, 4);
  const DeviceArray<float> device_x(x), device_gamma(gamma);
  std::vector<std::unique_ptr<TestMatrix>> w;
  std::vector<std::unique_ptr<DeviceArray<float>>> y, bias;
  std::vector<std::vector<float>> host_bias;
  std::vector<cuda::FusedProduct> products;
  for (std::size_t i = 0; i < types.size(); ++i) {
    w.push_back(random_matrix(types[i], rows[i], cols, 7 + i));
    host_bias.push_back(random_normal(static_cast<std::size_t>(rows[i]), 20 + i));
    bias.push_back(std::make_unique<DeviceArray<float>>(host_bias[i]));
    y.push_back(std::make_unique<DeviceArray<float>>(static_cast<std::size_t>(rows[i])));
    products.push_back({y[i]->data(), w[i]->device, i == 1 ? nullptr : bias[i]->data()});
  }
  cuda::norm_gemv(products, device_x.data(), device_gamma.data(), kEps, test_stream().get(), plan);
  for (std::size_t i = 0; i < types.size(); ++i) {
    CAPTURE(dtype_name(types[i]), i);
    std::vector<float> want = cpu_product(*w[i], norm_seen_by(types[i], x, gamma));
    if (i != 1) cpu::add(want.data(), host_bias[i].data(), rows[i]);
    CHECK_THAT(y[i]->read(), NmseBelow(want, kSumBound));
  }
}

void check_gemv_add(
    DType type, int rows, int cols, const cuda::GemvPlan* plan = nullptr, bool in_f32 = false) {
  CAPTURE(dtype_name(type), rows, cols);
  const auto w = random_matrix(type, rows, cols, 7);
  const std::vector<float> a = activations(cols, 3),
                           x = random_normal(static_cast<std::size_t>(rows), 4);
  const DeviceArray<float> device_a(a), device_x(x);
  cuda::gemv_add(device_x.data(), w->device, device_a.data(), test_stream().get(), plan);
  std::vector<float> got = device_x.read();
  for (std::size_t i = 0; i < got.size(); ++i) got[i] -= x[i];
  const std::vector<float> seen = in_f32 ? a : as_seen_by(type, a);
  CHECK_THAT(got, NmseBelow(cpu_product(*w, seen), 10 * kSumBound));
}

std::vector<float> cpu_gate_up(const TestMatrix& gate,
                               const TestMatrix& up,
                               const std::vector<float>& normed) {
  std::vector<float> act = cpu_product(gate, normed);
  const std::vector<float> factor = cpu_product(up, normed);
  cpu::silu_mul(act.data(), factor.data(), gate.host.rows);
  return act;
}

void check_gate_up(DType type, int rows, int cols, const cuda::GemvPlan* plan = nullptr) {
  CAPTURE(dtype_name(type), rows, cols);
  const auto gate = random_matrix(type, rows, cols, 7), up = random_matrix(type, rows, cols, 8);
  const std::vector<float> x = activations(cols, 3), gamma = near_one(cols, 4);
  const DeviceArray<float> device_x(x), device_gamma(gamma), act(static_cast<std::size_t>(rows));
  cuda::norm_gate_up(act.data(), gate->device, up->device, device_x.data(), device_gamma.data(),
                     kEps, test_stream().get(), plan);
  CHECK_THAT(act.read(),
             NmseBelow(cpu_gate_up(*gate, *up, norm_seen_by(type, x, gamma)), kSumBound));
}

// The way of gate and up as integers to down.
void check_integer_chain(
    DType type, DType down_type, int n_ff, int cols, const cuda::GemvPlan* plan = nullptr) {
  CAPTURE(dtype_name(type), dtype_name(down_type), n_ff, cols);
  const auto gate = random_matrix(type, n_ff, cols, 7), up = random_matrix(type, n_ff, cols, 8),
             down = random_matrix(down_type, 40, n_ff, 9);
  const std::vector<float> x = activations(cols, 3), gamma = near_one(cols, 4);
  const DeviceArray<float> device_x(x), device_gamma(gamma), y(std::vector<float>(40));
  const DeviceArray<std::int8_t> quants(static_cast<std::size_t>(cuda::kActivationPlanes * n_ff));
  const DeviceArray<cuda::ActivationBlock> blocks(static_cast<std::size_t>(n_ff / 32));
  const cuda::QuantizedActivations act{quants.data(), blocks.data()};
  cuda::norm_gate_up(act, gate->device, up->device, device_x.data(), device_gamma.data(), kEps,
                     test_stream().get(), plan);
  const std::vector<std::int8_t> q = quants.read();
  const std::vector<cuda::ActivationBlock> b = blocks.read();
  std::vector<float> got;
  for (std::size_t i = 0; i < b.size(); ++i) {
    std::array<double, 2> sums{};
    for (std::size_t j = 32 * i; j < 32 * i + 32; ++j) {
      const int integer =
          cuda::kActivationPlanes == 1 ? q[j] : 256 * q[j] + q[j + static_cast<std::size_t>(n_ff)];
      got.push_back(b[i].scale * static_cast<float>(integer));
      sums[j % 32 / 16] += static_cast<double>(b[i].scale) * integer;
    }
    const double size = static_cast<double>(16 * kLevels * b[i].scale);
    CHECK(std::abs(static_cast<double>(b[i].low_sum) - sums[0]) <= 1e-7 * size);
    CHECK(std::abs(static_cast<double>(b[i].high_sum) - sums[1]) <= 1e-7 * size);
  }
  const std::vector<float> want = cpu_gate_up(*gate, *up, norm_seen_by(type, x, gamma));
  CHECK_THAT(got, NmseBelow(want, kRoundingBound));
  cuda::gemv_add(y.data(), down->device, act, test_stream().get());
  CHECK_THAT(y.read(), NmseBelow(cpu_product(*down, got), kSumBound));
}

void check_head(DType type, int rows, int cols, const cuda::GemvPlan* plan = nullptr) {
  CAPTURE(dtype_name(type), rows, cols);
  const auto w = random_matrix(type, rows, cols, 7);
  const std::vector<float> x = activations(cols, 3), gamma = near_one(cols, 4);
  const DeviceArray<float> device_x(x), device_gamma(gamma), logits(static_cast<std::size_t>(rows));
  const DeviceArray<cuda::ArgmaxResult> best(1), partial(cuda::kMaxGemvBlocks);
  cuda::norm_head(logits.data(), best.data(), partial.data(), w->device, device_x.data(),
                  device_gamma.data(), kEps, test_stream().get(), plan);
  const std::vector<float> got = logits.read();
  CHECK_THAT(got, NmseBelow(cpu_product(*w, norm_seen_by(type, x, gamma)), kSumBound));
  const cuda::ArgmaxResult result = best.read()[0];
  CHECK(result.index == cpu::argmax(got));
  CHECK(result.value == got[static_cast<std::size_t>(result.index)]);
  CHECK(result.n_not_finite == 0);
  (void)partial.read();  // its guard bands
}

}  // namespace

TEST_CASE("fused: every product matches cpu for every type", "[cuda][ops][fused][sanitize]") {
  const DTypeInfo& type = any_dtype();
  const auto [rows, cols] = GENERATE(table<int, int>({{1, 1},
                                                      {9, 7},
                                                      {5, 12},
                                                      {7, 32},
                                                      {8, 33},
                                                      {33, 256},
                                                      {70, 288},
                                                      {130, 896},
                                                      {31, 1024},
                                                      {3, 4864}}));
  if (cols % type.block_elems != 0 || (is_thin() && cols != 7 && cols != 256)) return;
  CAPTURE(type.name, rows, cols);
  const DType t = type.dtype;
  check_norm_gemv({t, t, t}, {rows, 2, 5}, cols);
  check_norm_gemv({t}, {rows}, cols);
  check_gemv_add(t, rows, cols);
  check_gate_up(t, rows, cols);
  check_head(t, rows, cols);
}

TEST_CASE("fused: gate and up hand integers to down", "[cuda][ops][fused][sanitize]") {
  const DTypeInfo& type = any_dtype();
  if (!takes_integers(type.dtype)) return;
  const auto [n_ff, cols] = GENERATE(table<int, int>({{32, 256}, {256, 768}, {4864, 256}}));
  if (is_thin() && n_ff != 256) return;
  check_integer_chain(type.dtype, n_ff % 256 == 0 ? DType::Q6_K : DType::Q5_0, n_ff, cols);
  check_integer_chain(type.dtype, DType::Q8_0, n_ff, cols);
}

TEST_CASE("fused: any plan computes the same", "[cuda][ops][fused][sanitize]") {
  const DType type =
      GENERATE(DType::F32, DType::F16, DType::BF16, DType::Q8_0, DType::Q5_0, DType::Q5_1,
               DType::Q4_K, DType::Q5_K, DType::Q6_K, DType::Q4_0, DType::Q4_1);
  const int n_warps = GENERATE(4, 8, 16), n_streams = GENERATE(1, 2);
  const int warps_per_row = GENERATE(1, 2, 4, 8), n_blocks = GENERATE(1, 3, 64);
  if (warps_per_row > n_warps) return;
  if (is_thin() && (n_warps != 4 || warps_per_row != 2 || n_blocks != 3)) return;
  CAPTURE(dtype_name(type), n_warps, n_streams, warps_per_row, n_blocks);
  cuda::GemvPlan plan{.n_warps = n_warps,
                      .warps_per_row = warps_per_row,
                      .n_streams = n_streams,
                      .tile_rows = 0,
                      .n_blocks = n_blocks};
  plan.tile_rows = 64;
  const int cols = is_thin() ? 2048 : 8192;  // two or eight chunks of every type
  check_gemv_add(type, 37, cols, &plan);
  check_norm_gemv({type, type, type}, {20, 3, 40}, cols, &plan);
  if (takes_integers(type)) check_integer_chain(type, DType::Q8_0, 96, cols, &plan);
  plan.tile_rows = std::max(2, plan.rows_per_step());
  check_gate_up(type, 41, cols, &plan);
  check_head(type, 43, cols, &plan);
}

TEST_CASE("fused: rows so long that shared memory has no room for x",
          "[cuda][ops][fused][sanitize]") {
  check_gemv_add(any_dtype().dtype, 9, 131072, nullptr, true);
}

TEST_CASE("fused: plans cover every row of any shape once", "[cuda][ops][fused]") {
  Random random(5);
  for (int i = 0; i < 2000; ++i) {
    cuda::GemvShape shape{.rows = 1 << random.integer(0, 19), .n_chunks = random.integer(1, 300)};
    shape.rows += random.integer(0, shape.rows);
    shape.is_gate_up = random.integer(0, 1) == 1;
    shape.quantizes_rows = shape.is_gate_up && random.integer(0, 1) == 1;
    shape.one_row_at_a_time = random.integer(0, 1) == 1;
    if (shape.is_gate_up) shape.rows = (shape.rows + 63) / 64 * 64;
    const int n_sms = random.integer(1, 200);
    const cuda::GemvPlan plan = cuda::choose_plan(shape, n_sms);
    CAPTURE(shape.rows, shape.n_chunks, shape.is_gate_up, shape.quantizes_rows, n_sms);
    CHECK(plan.n_blocks <= std::min(plan.n_tiles(shape.rows), cuda::kMaxGemvBlocks));
    CHECK(std::int64_t{plan.n_blocks} * plan.rows_per_block(shape.rows) >= shape.rows);
    CHECK(plan.tile_rows % plan.rows_per_step() == 0);
    CHECK(plan.warps_per_row <= std::min(shape.n_chunks, plan.n_warps));
    CHECK(plan.n_warps * 32 <= cuda::kMaxGemvThreads);
    CHECK((!shape.one_row_at_a_time || plan.n_streams == 1));
    CHECK((!shape.is_gate_up || plan.tile_rows % 2 == 0));
    CHECK((!shape.quantizes_rows || plan.tile_rows % 64 == 0));
  }
}

TEST_CASE("fused: mixtures of types that share x", "[cuda][ops][fused][sanitize]") {
  using enum DType;
  check_norm_gemv({Q4_K, Q4_K, Q6_K}, {128, 33, 20}, 768);
  check_norm_gemv({Q5_K, Q5_K, Q6_K}, {128, 33, 20}, 256);
  check_norm_gemv({Q5_0, Q5_0, Q8_0}, {896, 128, 128}, 896);
  check_norm_gemv({Q5_1, Q5_1, Q8_0}, {40, 8, 300}, 96);
  check_norm_gemv({Q4_0, Q8_0, Q4_0}, {40, 8, 9}, 64);  // no instance of their own
  check_norm_gemv({F16, IQ4_XS, Q2_K}, {40, 8, 9}, 512);
  check_norm_gemv({F32, Q3_K, BF16}, {40, 8, 9}, 256);
}

// Over enough rows that their sum does not cancel.
TEST_CASE("fused: what integer activations cost", "[cuda][ops][fused]") {
  const DTypeInfo& type = any_dtype();
  const auto [rows, cols] = GENERATE(table<int, int>({{1152, 896}, {256, 4864}, {512, 1024}}));
  const bool outliers = GENERATE(false, true);
  if (cols % type.block_elems != 0) return;
  const auto w = random_matrix(type.dtype, rows, cols, 7);
  const std::vector<float> a =
      outliers ? activations(cols, 3) : random_normal(static_cast<std::size_t>(cols), 3);
  const DeviceArray<float> device_a(a), x(std::vector<float>(static_cast<std::size_t>(rows), 0.0f));
  cuda::gemv_add(x.data(), w->device, device_a.data(), test_stream().get());
  const double cost = nmse(x.read(), cpu_product(*w, a));
  WARN(type.name << " (" << rows << ", " << cols << ")" << (outliers ? ", outliers" : "")
                 << ": NMSE " << cost);
  CHECK(cost <= (takes_integers(type.dtype) ? kRoundingBound : 1e-12));
}

TEST_CASE("fused: real shapes", "[cuda][ops][fused][big]") {
  const DType type = GENERATE(DType::F16, DType::Q8_0, DType::Q5_0, DType::Q4_0);
  check_norm_gemv({type, type, type}, {896, 128, 128}, 896);
  check_gate_up(type, 4864, 896);
  check_gemv_add(type, 896, 4864);
  check_head(type, 20000, 896);
}

TEST_CASE("fused: the longest rows", "[cuda][ops][fused][big]") {
  const DType type = GENERATE(DType::F16, DType::F32, DType::Q8_0, DType::Q4_K, DType::Q6_K);
  check_gemv_add(type, 50, 18944);
  if (takes_integers(type)) check_integer_chain(type, DType::Q4_K, 18944, 256);
}

TEST_CASE("fused: down of a 7B model", "[cuda][ops][fused][big]") {
  check_gemv_add(DType::Q4_K, 3584, 18944);
  check_gemv_add(DType::F16, 3584, 18944);
}

TEST_CASE("fused: three runs give equal bits", "[cuda][ops][fused]") {
  const DType type = GENERATE(DType::F16, DType::Q8_0, DType::Q6_K);
  const int rows = 300, cols = 1024;
  const auto w = random_matrix(type, rows, cols, 7);
  const DeviceArray<float> x(activations(cols, 3)), gamma(near_one(cols, 4)), y(rows);
  std::vector<float> first;
  for (int run = 0; run < 3; ++run) {
    const cuda::FusedProduct product{y.data(), w->device, nullptr};
    cuda::norm_gemv({&product, 1}, x.data(), gamma.data(), kEps, test_stream().get());
    if (run == 0) first = y.read();
    CHECK(y.read() == first);
  }
}

// Neither a fault nor a plausible number: the whole output is NaN, and counted.
TEST_CASE("fused: what is not finite stays so", "[cuda][ops][fused]") {
  const DType type = GENERATE(DType::F16, DType::Q8_0, DType::Q4_K, DType::IQ4_XS);
  const float bad =
      GENERATE(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity());
  CAPTURE(dtype_name(type), bad);
  const int rows = 70, cols = 512;
  const auto w = random_matrix(type, rows, cols, 7);
  std::vector<float> x = activations(cols, 3);
  x[300] = bad;
  const DeviceArray<float> device_x(x), gamma(near_one(cols, 4)), logits(rows);
  const DeviceArray<cuda::ArgmaxResult> best(1), partial(cuda::kMaxGemvBlocks);
  cuda::norm_head(logits.data(), best.data(), partial.data(), w->device, device_x.data(),
                  gamma.data(), kEps, test_stream().get());
  for (const float y : logits.read()) CHECK(std::isnan(y));
  CHECK(best.read()[0].n_not_finite == rows);
  CHECK(best.read()[0].index == 0);
}

TEST_CASE("fused: large and small activations keep their precision", "[cuda][ops][fused]") {
  const DType type = GENERATE(DType::F16, DType::Q8_0, DType::Q5_K);
  const float scale = GENERATE(0.0f, 1e-30f, 1e-3f, 1e5f, 1e12f);
  CAPTURE(dtype_name(type), scale);
  const int rows = 20, cols = 256;
  const auto w = random_matrix(type, rows, cols, 7);
  std::vector<float> a = activations(cols, 3);
  for (float& v : a) v *= scale;
  const DeviceArray<float> device_a(a), x(std::vector<float>(rows, 0.0f));
  cuda::gemv_add(x.data(), w->device, device_a.data(), test_stream().get());
  std::vector<float> want = cpu_product(*w, as_seen_by(type, a)), got = x.read();
  if (scale != 0)
    for (auto* y : {&want, &got})
      for (float& v : *y) v /= scale;
  CHECK_THAT(got, NmseBelow(want, kSumBound));
}

}  // namespace haikuda::test
