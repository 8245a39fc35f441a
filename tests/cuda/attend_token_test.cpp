// attend_token against finish_qkv and attention_decode, which attention_test.cpp and ops_test.cpp
// hold against the CPU. All rows of the cache but those of the past are loud.
#include "base/half.h"
#include "cuda/ops.h"
#include "device_array.h"
#include "support/nmse.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

struct TokenCase {
  int position, n_heads, n_kv_heads, head_dim;
  int n_dims = 0;  // 0: all
  RopeStyle style = RopeStyle::neox;
  bool has_bias = false, has_norm = false;
  float q_scale = 1;
};

std::vector<std::uint16_t> random_past(int n_rows, int n_used, int row_size, std::uint64_t seed) {
  std::vector<float> values = random_normal(static_cast<std::size_t>(n_rows * row_size), seed);
  std::fill(values.begin() + n_used * row_size, values.end(), 1e4f);
  std::vector<std::uint16_t> out;
  for (const float x : values) out.push_back(float_to_half(x));
  return out;
}

std::vector<float> row_of(const std::vector<std::uint16_t>& cache, int row, int row_size) {
  std::vector<float> out;
  for (int i = 0; i < row_size; ++i)
    out.push_back(half_to_float(cache[static_cast<std::size_t>(row * row_size + i)]));
  return out;
}

// Inputs, and a copy of the cache for each of the two ways.
struct TokenFixture {
  explicit TokenFixture(const TokenCase& c)
      : shape{.n = 1,
              .n_heads = c.n_heads,
              .n_kv_heads = c.n_kv_heads,
              .head_dim = c.head_dim,
              .n_dims = c.n_dims == 0 ? c.head_dim : c.n_dims,
              .style = c.style,
              .eps = 1e-6f},
        q_size(c.n_heads * c.head_dim),
        kv_size(c.n_kv_heads * c.head_dim),
        position(c.position),
        k_past(random_past(c.position + 40, c.position, kv_size, 1)),
        v_past(random_past(c.position + 40, c.position, kv_size, 2)),
        q(random_normal(static_cast<std::size_t>(q_size), 3, c.q_scale)),
        k(random_normal(static_cast<std::size_t>(kv_size), 4)),
        v(random_normal(static_cast<std::size_t>(kv_size), 5)),
        q_bias(random_normal(static_cast<std::size_t>(q_size), 6)),
        k_bias(random_normal(static_cast<std::size_t>(kv_size), 7)),
        v_bias(random_normal(static_cast<std::size_t>(kv_size), 8)),
        q_norm(random_normal(static_cast<std::size_t>(c.head_dim), 9)),
        k_norm(random_normal(static_cast<std::size_t>(c.head_dim), 10)),
        cos_sin(random_normal(static_cast<std::size_t>((c.position + 1) * shape.n_dims), 11)),
        on_device(std::vector<int>{c.position}),
        vectors{.q_bias = c.has_bias ? q_bias.data() : nullptr,
                .k_bias = c.has_bias ? k_bias.data() : nullptr,
                .v_bias = c.has_bias ? v_bias.data() : nullptr,
                .q_norm = c.has_norm ? q_norm.data() : nullptr,
                .k_norm = c.has_norm ? k_norm.data() : nullptr,
                .cos_sin = cos_sin.data()} {}

  struct Result {
    std::vector<float> out;
    std::vector<std::uint16_t> k_cache, v_cache;
  };
  Result in_two_ops() const {
    const cuda::AttentionShape attention{.n = 1,
                                         .n_heads = shape.n_heads,
                                         .n_kv_heads = shape.n_kv_heads,
                                         .head_dim = shape.head_dim};
    const DeviceArray<float> dq(q), dk(k), dv(v), out(q.size()),
        scratch(cuda::attention_scratch_size(attention));
    const DeviceArray<std::uint16_t> kc(k_past), vc(v_past);
    const cudaStream_t stream = test_stream().get();
    cuda::finish_qkv(dq.data(), half(kc), half(vc), dk.data(), dv.data(), on_device.data(), vectors,
                     shape, stream);
    cuda::attention_decode(out.data(), scratch.data(), dq.data(), half(kc), half(vc),
                           on_device.data(), attention, stream);
    return {out.read(), kc.read(), vc.read()};
  }
  // n_runs times with the same scratch and counters.
  std::vector<Result> in_one_op(int n_runs) const {
    const cuda::TokenScratchSize size = cuda::attend_token_scratch(shape);
    const DeviceArray<float> partial(size.n_partial);
    const DeviceArray<unsigned> arrivals(std::vector<unsigned>(size.n_arrivals, 0));
    std::vector<Result> results;
    for (int run = 0; run < n_runs; ++run) {
      const DeviceArray<float> dq(q), dk(k), dv(v), out(q.size());
      const DeviceArray<std::uint16_t> kc(k_past), vc(v_past);
      cuda::attend_token(out.data(), partial.data(), arrivals.data(), dq.data(), half(kc), half(vc),
                         dk.data(), dv.data(), on_device.data(), vectors, shape,
                         test_stream().get());
      results.push_back({out.read(), kc.read(), vc.read()});
      CHECK(arrivals.read() == std::vector<unsigned>(size.n_arrivals, 0));
    }
    (void)partial.read();  // its guard bands
    return results;
  }
  static __half* half(const DeviceArray<std::uint16_t>& array) {
    return reinterpret_cast<__half*>(array.data());
  }

  cuda::QkvShape shape;
  int q_size, kv_size, position;
  std::vector<std::uint16_t> k_past, v_past;
  std::vector<float> q, k, v;
  DeviceArray<float> q_bias, k_bias, v_bias, q_norm, k_norm, cos_sin;
  DeviceArray<int> on_device;
  cuda::QkvVectors vectors;
};

// Other sums of the norm, or a contracted product, may round a key to the next half: an error of
// 1e-7 at most, where one key left out or counted twice gives 1e-3 and more.
constexpr double kMost = 1e-7;

void check_token(const TokenCase& c, int n_runs = 2) {
  CAPTURE(c.position, c.n_heads, c.n_kv_heads, c.head_dim, c.n_dims, static_cast<int>(c.style),
          c.has_bias, c.has_norm, c.q_scale);
  const TokenFixture f(c);
  const TokenFixture::Result want = f.in_two_ops();
  const std::vector<TokenFixture::Result> got = f.in_one_op(n_runs);
  CHECK_THAT(got[0].out, NmseBelow(want.out, kMost));
  CHECK_THAT(row_of(got[0].k_cache, c.position, f.kv_size),
             NmseBelow(row_of(want.k_cache, c.position, f.kv_size), kMost));
  CHECK(got[0].v_cache == want.v_cache);
  std::vector<std::uint16_t> other_rows = got[0].k_cache;
  std::copy_n(want.k_cache.begin() + c.position * f.kv_size, f.kv_size,
              other_rows.begin() + c.position * f.kv_size);
  CHECK(other_rows == want.k_cache);
  for (const TokenFixture::Result& again : got) {
    CHECK(again.out == got[0].out);
    CHECK(again.k_cache == got[0].k_cache);
  }
}

}  // namespace

TEST_CASE("attend_token: any position and ratio of heads", "[cuda][ops][attend_token]") {
  const auto [n_heads, n_kv_heads] = GENERATE(table<int, int>(
      {{1, 1}, {4, 2}, {9, 3}, {4, 1}, {12, 2}, {14, 2}, {8, 1}, {20, 2}, {17, 1}}));
  const int position = GENERATE(0, 1, 31, 32, 33, 255, 256, 257, 512, 1023, 2049);
  check_token({position, n_heads, n_kv_heads, 64});
}

TEST_CASE("attend_token: heads of any size", "[cuda][ops][attend_token][sanitize]") {
  const int head_dim = GENERATE(8, 32, 48, 80, 96, 128, 160, 256, 2, 66, 264);
  const auto [n_heads, n_kv_heads] =
      GENERATE(table<int, int>({{2, 2}, {4, 2}, {4, 1}, {7, 1}, {16, 2}}));
  const int position = GENERATE(0, 16, 150);
  if (is_thin() && (position != 150 || (head_dim % 32 != 0 && head_dim != 66))) return;
  check_token({position, n_heads, n_kv_heads, head_dim}, 1);
}

TEST_CASE("attend_token: bias, norm of heads and kinds of rotation",
          "[cuda][ops][attend_token][sanitize]") {
  const bool has_bias = GENERATE(false, true), has_norm = GENERATE(false, true);
  const RopeStyle style = GENERATE(RopeStyle::neox, RopeStyle::interleaved);
  const auto [head_dim, n_dims] = GENERATE(table<int, int>({{64, 64}, {96, 32}, {128, 128}}));
  const int position = GENERATE(0, 70, 300);  // in 300 the keys are split
  if (is_thin() && (position != 300 || !has_bias)) return;
  check_token({position, 6, 2, head_dim, n_dims, style, has_bias, has_norm}, 1);
}

TEST_CASE("attend_token: scores far beyond the range of half", "[cuda][ops][attend_token]") {
  const float q_scale = GENERATE(20.0f, 1e4f, 1e6f);
  check_token({.position = 600, .n_heads = 14, .n_kv_heads = 2, .head_dim = 64, .q_scale = q_scale},
              1);
}

TEST_CASE("attend_token: a long context, all splits at work", "[cuda][ops][attend_token]") {
  const auto [n_heads, n_kv_heads, head_dim] =
      GENERATE(table<int, int, int>({{14, 2, 64}, {28, 4, 128}, {3, 3, 96}}));
  check_token(
      {.position = 17003, .n_heads = n_heads, .n_kv_heads = n_kv_heads, .head_dim = head_dim});
}

// The launch arguments are the same; what changes is in memory, as when a graph is replayed.
TEST_CASE("attend_token: token after token with the same arguments", "[cuda][ops][attend_token]") {
  const int n_tokens = 300, kv_size = 2 * 64;
  const cuda::QkvShape shape{.n = 1,
                             .n_heads = 14,
                             .n_kv_heads = 2,
                             .head_dim = 64,
                             .n_dims = 64,
                             .style = RopeStyle::neox,
                             .eps = 1e-6f};
  const cuda::AttentionShape attention{.n = 1, .n_heads = 14, .n_kv_heads = 2, .head_dim = 64};
  const cuda::TokenScratchSize size = cuda::attend_token_scratch(shape);
  const DeviceArray<float> partial(size.n_partial), out(14 * 64), want(14 * 64),
      scratch(cuda::attention_scratch_size(attention)), cos_sin(random_normal(n_tokens * 64, 1));
  const DeviceArray<unsigned> arrivals(std::vector<unsigned>(size.n_arrivals, 0));
  const std::vector<std::uint16_t> empty = random_past(n_tokens, 0, kv_size, 2);
  const DeviceArray<std::uint16_t> k1(empty), v1(empty), k2(empty), v2(empty);
  cuda::QkvVectors vectors{};
  vectors.cos_sin = cos_sin.data();
  for (int position = 0; position < n_tokens; ++position) {
    const auto seed = static_cast<std::uint64_t>(10 * position);
    const DeviceArray<int> at(std::vector<int>{position});
    const DeviceArray<float> q1(random_normal(14 * 64, seed)), q2(random_normal(14 * 64, seed)),
        k(random_normal(kv_size, seed + 1)), v(random_normal(kv_size, seed + 2));
    const cudaStream_t stream = test_stream().get();
    cuda::attend_token(out.data(), partial.data(), arrivals.data(), q1.data(),
                       TokenFixture::half(k1), TokenFixture::half(v1), k.data(), v.data(),
                       at.data(), vectors, shape, stream);
    cuda::finish_qkv(q2.data(), TokenFixture::half(k2), TokenFixture::half(v2), k.data(), v.data(),
                     at.data(), vectors, shape, stream);
    cuda::attention_decode(want.data(), scratch.data(), q2.data(), TokenFixture::half(k2),
                           TokenFixture::half(v2), at.data(), attention, stream);
    CAPTURE(position);
    REQUIRE_THAT(out.read(), NmseBelow(want.read(), kMost));
  }
  CHECK(v1.read() == v2.read());
}

}  // namespace haikuda::test
