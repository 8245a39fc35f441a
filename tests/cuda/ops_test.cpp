// Ops between the products, each against its CPU twin.
#include <cmath>
#include <limits>

#include "base/half.h"
#include "cpu/ops.h"
#include "cuda/cuda_backend.h"
#include "cuda/ops.h"
#include "device_array.h"
#include "infer/random.h"
#include "support/nmse.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

cuda::ArgmaxResult cuda_argmax(const std::vector<float>& values) {
  const DeviceArray<float> device_values(values);
  const DeviceArray<cuda::ArgmaxResult> out(1), partial(cuda::kArgmaxBlocks);
  cuda::argmax(out.data(), partial.data(), device_values.data(), static_cast<int>(values.size()),
               test_stream().get());
  (void)partial.read();  // its guard bands
  return out.read()[0];
}

}  // namespace

TEST_CASE("rms_norm: cuda matches cpu", "[cuda][ops][sanitize]") {
  const int size = GENERATE(1, 31, 32, 33, 256, 257, 896, 4864);
  const int n = GENERATE(1, 5);
  const float scale = GENERATE(1e-6f, 1.0f, 1e6f);
  if (is_thin() && scale != 1) return;
  CAPTURE(size, n, scale);
  std::vector<float> x = random_normal(static_cast<std::size_t>(n * size), 1, scale);
  x[0] *= 1000;
  const std::vector<float> weight = random_normal(static_cast<std::size_t>(size), 2);
  std::vector<float> want(x.size());
  cpu::rms_norm(want.data(), x.data(), weight.data(), n, size, 1e-6f);

  const DeviceArray<float> device_x(x), device_weight(weight), out(x.size());
  cuda::rms_norm(out.data(), device_x.data(), device_weight.data(), n, size, 1e-6f,
                 test_stream().get());
  CHECK_THAT(out.read(), NmseBelow(want, 1e-11));
  cuda::rms_norm(device_x.data(), device_x.data(), device_weight.data(), n, size, 1e-6f,
                 test_stream().get());
  CHECK(device_x.read() == out.read());  // in place
}

TEST_CASE("xor_words: every word is read once", "[cuda][ops][sanitize]") {
  const int n_words = GENERATE(4, 4092, 4096, 40960, 1000004);
  const int n_blocks = GENERATE(1, 3);
  if (is_thin() && n_words > 5000) return;
  CAPTURE(n_words, n_blocks);
  std::vector<std::uint32_t> words;
  std::uint32_t want = 0;
  for (int i = 0; i < n_words; ++i) {
    words.push_back(static_cast<std::uint32_t>(mix_bits(static_cast<std::uint64_t>(i))));
    want ^= words.back();
  }
  const DeviceArray<std::uint32_t> device_words(words), out(static_cast<std::size_t>(n_blocks));
  cuda::xor_words(out.data(), device_words.data(), words.size() * sizeof(std::uint32_t), n_blocks,
                  test_stream().get());
  std::uint32_t got = 0;
  for (const std::uint32_t part : out.read()) got ^= part;
  CHECK(got == want);
}

TEST_CASE("read bandwidth: a number that a GPU can have", "[cuda][ops]") {
  const double bytes_per_s = measure_cuda_read_bandwidth(0);
  CHECK(bytes_per_s > 1e9);
  CHECK(bytes_per_s < 1e14);
}

TEST_CASE("add and silu_mul: cuda matches cpu", "[cuda][ops][sanitize]") {
  const int size = GENERATE(1, 31, 256, 257, 4864, 100003);
  if (is_thin() && size > 5000) return;
  CAPTURE(size);
  std::vector<float> a = random_normal(static_cast<std::size_t>(size), 1, 4);
  const std::vector<float> b = random_normal(static_cast<std::size_t>(size), 2);
  if (size > 100) a[3] = 200, a[4] = -200, a[5] = 0, a[6] = -0.0f;
  const DeviceArray<float> sum(a), gate(a), device_b(b);
  cuda::add(sum.data(), device_b.data(), size, test_stream().get());
  cuda::silu_mul(gate.data(), device_b.data(), size, test_stream().get());
  std::vector<float> want_sum = a, want_gate = a;
  cpu::add(want_sum.data(), b.data(), size);
  cpu::silu_mul(want_gate.data(), b.data(), size);
  CHECK(sum.read() == want_sum);
  CHECK_THAT(gate.read(), NmseBelow(want_gate, 1e-12));
}

TEST_CASE("rope_table: the angles of a whole context in double precision",
          "[cuda][ops][sanitize]") {
  const int n_positions = 32768, n_pairs = 32;
  const double magnitude = 1.25;
  std::vector<double> radians;
  for (int i = 0; i < n_pairs; ++i) radians.push_back(std::pow(1e6, -i / 32.0));
  const DeviceArray<double> device_radians(radians);
  const DeviceArray<float> out(std::size_t{n_positions} * n_pairs * 2);
  cuda::rope_table(out.data(), device_radians.data(), magnitude, n_positions, n_pairs,
                   test_stream().get());
  const std::vector<float> got = out.read();
  for (const int position : {0, 1, 2, 4095, 20000, 32767})
    for (int i = 0; i < n_pairs; ++i) {
      const double angle = position * radians[static_cast<std::size_t>(i)];
      const auto at = static_cast<std::size_t>(2 * (position * n_pairs + i));
      CAPTURE(position, i);
      CHECK(std::abs(static_cast<double>(got[at]) - std::cos(angle) * magnitude) < 1e-7);
      CHECK(std::abs(static_cast<double>(got[at + 1]) - std::sin(angle) * magnitude) < 1e-7);
    }
}

TEST_CASE("finish_qkv: bias, norm of heads, rotation and cache match cpu",
          "[cuda][ops][sanitize]") {
  const RopeStyle style = GENERATE(RopeStyle::neox, RopeStyle::interleaved);
  const auto [n_heads, n_kv_heads, head_dim, n_dims] =
      GENERATE(table<int, int, int, int>({{1, 1, 2, 2},
                                          {14, 2, 64, 64},
                                          {8, 1, 80, 32},
                                          {4, 4, 128, 128},
                                          {2, 1, 256, 130},
                                          {2, 1, 320, 64}}));
  const bool bias = GENERATE(false, true), norm = GENERATE(false, true);
  const auto [n, position] = GENERATE(table<int, int>({{1, 0}, {1, 19}, {5, 0}, {5, 7}}));
  if (is_thin() && position == 0) return;
  CAPTURE(style == RopeStyle::neox, n_heads, n_kv_heads, head_dim, n_dims, bias, norm, n, position);
  const int n_ctx = 20, q_size = n_heads * head_dim, kv_size = n_kv_heads * head_dim;
  auto random = [seed = 0u](int a, int b) mutable {
    return random_normal(static_cast<std::size_t>(a * b), ++seed);
  };
  std::vector<float> q = random(n, q_size), k = random(n, kv_size), v = random(n, kv_size);
  const std::vector<float> q_bias = random(1, q_size), k_bias = random(1, kv_size),
                           v_bias = random(1, kv_size);
  const std::vector<float> q_norm = random(1, head_dim), k_norm = random(1, head_dim);
  const std::vector<float> cos_sin = random(n_ctx, n_dims);  // need not be angles

  const DeviceArray<float> dq(q), dk(k), dv(v), dqb(q_bias), dkb(k_bias), dvb(v_bias), dqn(q_norm),
      dkn(k_norm), dcs(cos_sin);
  const DeviceArray<std::uint16_t> k_cache(static_cast<std::size_t>(n_ctx * kv_size)),
      v_cache(k_cache.size());
  const DeviceArray<int> at(std::vector<int>{position});
  const cuda::QkvVectors vectors{.q_bias = bias ? dqb.data() : nullptr,
                                 .k_bias = bias ? dkb.data() : nullptr,
                                 .v_bias = bias ? dvb.data() : nullptr,
                                 .q_norm = norm ? dqn.data() : nullptr,
                                 .k_norm = norm ? dkn.data() : nullptr,
                                 .cos_sin = dcs.data()};
  cuda::finish_qkv(dq.data(), reinterpret_cast<__half*>(k_cache.data()),
                   reinterpret_cast<__half*>(v_cache.data()), dk.data(), dv.data(), at.data(),
                   vectors,
                   {.n = n,
                    .n_heads = n_heads,
                    .n_kv_heads = n_kv_heads,
                    .head_dim = head_dim,
                    .n_dims = n_dims,
                    .style = style,
                    .eps = 1e-6f},
                   test_stream().get());

  if (bias) {
    cpu::add_bias(q.data(), q_bias.data(), n, q_size);
    cpu::add_bias(k.data(), k_bias.data(), n, kv_size);
    cpu::add_bias(v.data(), v_bias.data(), n, kv_size);
  }
  if (norm) {
    cpu::rms_norm(q.data(), q.data(), q_norm.data(), n * n_heads, head_dim, 1e-6f);
    cpu::rms_norm(k.data(), k.data(), k_norm.data(), n * n_kv_heads, head_dim, 1e-6f);
  }
  const float* angles = cos_sin.data() + position * n_dims;
  cpu::rope(q.data(), angles, n, n_heads, head_dim, n_dims, style);
  cpu::rope(k.data(), angles, n, n_kv_heads, head_dim, n_dims, style);

  CHECK_THAT(dq.read(), NmseBelow(q, 1e-11));
  const auto check_cache = [&](const DeviceArray<std::uint16_t>& cache,
                               const std::vector<float>& want) {
    const std::vector<std::uint16_t> all = cache.read();
    std::vector<float> got, rounded;
    for (std::size_t i = 0; i < all.size(); ++i) {
      const auto row = static_cast<int>(i) / kv_size;
      if (row >= position && row < position + n)
        got.push_back(half_to_float(all[i]));
      else if (all[i] != 0xffffu)
        FAIL("row " << row << " of the cache was written");
    }
    for (const float x : want) rounded.push_back(half_to_float(float_to_half(x)));
    CHECK_THAT(got, NmseBelow(rounded, 1e-8));  // a rounding may fall the other way
  };
  check_cache(k_cache, k);
  check_cache(v_cache, v);
}

TEST_CASE("argmax: the lowest of equals, never NaN, what is not finite is counted",
          "[cuda][ops][sanitize]") {
  CHECK(cuda_argmax({kNan}).index == 0);
  CHECK(cuda_argmax({kNan, kNan}).n_not_finite == 2);
  CHECK(cuda_argmax({kNan, -kInfinity}).index == 1);
  CHECK(cuda_argmax({-kInfinity, -kInfinity}).index == 0);
  CHECK(cuda_argmax({1, kInfinity, kNan}).n_not_finite == 2);
  CHECK(cuda_argmax({1, kInfinity, kNan}).index == 1);

  const int size = GENERATE(1, 2, 31, 63, 64, 65, 256, 16385, 151936);
  if (is_thin() && size > 256 && size != 16385) return;
  CAPTURE(size);
  std::vector<float> values = random_normal(static_cast<std::size_t>(size), 9);
  CHECK(cuda_argmax(values).index == cpu::argmax(values));
  CHECK(cuda_argmax(values).n_not_finite == 0);
  for (const int first : {0, size / 3, size / 2, size - 1}) {
    std::vector<float> ties = values;
    for (std::size_t i = static_cast<std::size_t>(first); i < ties.size(); i += 37) ties[i] = 100;
    if (first > 0) ties[0] = kNan;
    CAPTURE(first);
    CHECK(cuda_argmax(ties).index == first);
    CHECK(cuda_argmax(ties).index == cpu::argmax(ties));
    CHECK(cuda_argmax(ties).n_not_finite == (first > 0 ? 1 : 0));
  }
}

TEST_CASE("argmax: the last word of a large vocabulary is seen", "[cuda][ops]") {
  std::vector<float> values(151936, -1.0f);
  values.back() = 1;
  CHECK(cuda_argmax(values).index == 151935);
}

}  // namespace haikuda::test
