// Both attention kernels against the CPU's, over a cache whose unused rows are loud.
#include "base/half.h"
#include "cpu/ops.h"
#include "cuda/ops.h"
#include "device_array.h"
#include "support/nmse.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

struct AttentionCase {
  int n, position, n_heads, n_kv_heads, head_dim;
  float q_scale = 1;
};

std::vector<std::uint16_t> to_half(const std::vector<float>& values) {
  std::vector<std::uint16_t> out;
  for (const float x : values) out.push_back(float_to_half(x));
  return out;
}
std::vector<float> to_float(const std::vector<std::uint16_t>& values) {
  std::vector<float> out;
  for (const std::uint16_t x : values) out.push_back(half_to_float(x));
  return out;
}

// Rows from n_used on are 1e4.
std::vector<std::uint16_t> random_cache(int n_rows, int n_used, int row_size, std::uint64_t seed) {
  std::vector<float> values = random_normal(static_cast<std::size_t>(n_rows * row_size), seed);
  for (std::size_t i = static_cast<std::size_t>(n_used * row_size); i < values.size(); ++i)
    values[i] = 1e4f;
  return to_half(values);
}

using AttentionOp = decltype(&cuda::attention_decode);

void check_attention(AttentionOp op, const AttentionCase& c) {
  CAPTURE(c.n, c.position, c.n_heads, c.n_kv_heads, c.head_dim, c.q_scale);
  static ThreadPool threads;
  const int n_used = c.position + c.n, kv_size = c.n_kv_heads * c.head_dim;
  const auto k = random_cache(n_used + 70, n_used, kv_size, 1),
             v = random_cache(n_used + 70, n_used, kv_size, 2);
  const std::vector<float> q =
      random_normal(static_cast<std::size_t>(c.n * c.n_heads * c.head_dim), 3, c.q_scale);
  std::vector<float> want(q.size());
  cpu::attention(want.data(), q.data(), to_float(k).data(), to_float(v).data(),
                 {.n = c.n,
                  .position = c.position,
                  .n_heads = c.n_heads,
                  .n_kv_heads = c.n_kv_heads,
                  .head_dim = c.head_dim},
                 threads);

  const cuda::AttentionShape shape{
      .n = c.n, .n_heads = c.n_heads, .n_kv_heads = c.n_kv_heads, .head_dim = c.head_dim};
  const DeviceArray<float> dq(q), out(q.size()), scratch(cuda::attention_scratch_size(shape));
  const DeviceArray<std::uint16_t> dk(k), dv(v);
  const DeviceArray<int> position(std::vector<int>{c.position});
  op(out.data(), scratch.data(), dq.data(), reinterpret_cast<const __half*>(dk.data()),
     reinterpret_cast<const __half*>(dv.data()), position.data(), shape, test_stream().get());
  CHECK_THAT(out.read(), NmseBelow(want, 1e-10));
  (void)scratch.read();  // its guard bands
}

}  // namespace

TEST_CASE("attention: decoding matches cpu at any position and ratio of heads",
          "[cuda][ops][attention]") {
  const auto [n_heads, n_kv_heads] = GENERATE(table<int, int>({{1, 1}, {4, 1}, {14, 2}, {8, 1}}));
  const int position = GENERATE(0, 1, 15, 16, 63, 64, 65, 127, 500, 2047, 2048, 4200);
  const int n = GENERATE(1, 4);
  check_attention(cuda::attention_decode, {n, position, n_heads, n_kv_heads, 64});
}

TEST_CASE("attention: prefill matches cpu at any position and ratio of heads",
          "[cuda][ops][attention]") {
  const auto [n_heads, n_kv_heads] = GENERATE(table<int, int>({{1, 1}, {4, 1}, {14, 2}, {8, 1}}));
  const int position = GENERATE(0, 1, 31, 32, 33, 300);
  const int n = GENERATE(1, 5, 16, 17, 70);
  check_attention(cuda::attention_prefill, {n, position, n_heads, n_kv_heads, 64});
}

TEST_CASE("attention: heads of any even size", "[cuda][ops][attention][sanitize]") {
  const int head_dim = GENERATE(2, 6, 62, 66, 80, 96, 128, 130, 256, 258, 320, 1024);
  if (is_thin() && (head_dim == 6 || head_dim == 80 || head_dim == 96)) return;
  const auto [n, position] = GENERATE(table<int, int>({{1, 40}, {3, 0}, {20, 13}}));
  check_attention(cuda::attention_decode, {n, position, 4, 2, head_dim});
  check_attention(cuda::attention_prefill, {n, position, 4, 2, head_dim});
}

TEST_CASE("attention: scores far beyond the range of half", "[cuda][ops][attention]") {
  const float q_scale = GENERATE(20.0f, 1e4f, 1e6f);
  check_attention(cuda::attention_decode, {1, 333, 4, 2, 64, q_scale});
  check_attention(cuda::attention_prefill, {37, 100, 4, 2, 64, q_scale});
}

TEST_CASE("attention: a real context", "[cuda][ops][attention][big]") {
  check_attention(cuda::attention_decode, {1, 32700, 14, 2, 64});
  check_attention(cuda::attention_prefill, {512, 1500, 14, 2, 64});
}

TEST_CASE("attention: three runs give equal bits", "[cuda][ops][attention]") {
  const cuda::AttentionShape shape{.n = 1, .n_heads = 14, .n_kv_heads = 2, .head_dim = 64};
  const DeviceArray<float> q(random_normal(14 * 64, 1)), out(14 * 64),
      scratch(cuda::attention_scratch_size(shape));
  const DeviceArray<std::uint16_t> k(random_cache(3000, 3000, 128, 2)),
      v(random_cache(3000, 3000, 128, 3));
  const DeviceArray<int> position(std::vector<int>{2999});
  std::vector<float> first;
  for (int run = 0; run < 3; ++run) {
    cuda::attention_decode(
        out.data(), scratch.data(), q.data(), reinterpret_cast<const __half*>(k.data()),
        reinterpret_cast<const __half*>(v.data()), position.data(), shape, test_stream().get());
    if (run == 0) first = out.read();
    CHECK(out.read() == first);
  }
}

}  // namespace haikuda::test
