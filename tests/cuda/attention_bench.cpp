// Times what a token costs beside its products: attention at several depths and plans, and the end
// of a token, from the head's partial results to the next embedding.
//   haikuda_attention_bench
#include <cmath>
#include <cstdio>
#include <vector>

#include "cuda/layout.h"
#include "cuda/ops.h"
#include "cuda/sample_ops.h"
#include "infer/common_chain.h"
#include "time_graph.h"

namespace haikuda::cuda {
namespace {

struct HeadShape {
  const char* name;
  int n_layers, n_heads, n_kv_heads, head_dim;
};
constexpr HeadShape kShapes[] = {
    {"0.5B", 24, 14, 2, 64}, {"7B", 28, 28, 4, 128}, {"135M", 30, 9, 3, 64}};
constexpr int kDepths[] = {16, 128, 256, 384, 768, 1024, 4096, 16384};

template <class T>
DeviceBuffer<T> zeros(std::size_t size, const Stream& stream) {
  DeviceBuffer<T> out(size);
  out.clear(stream.get());
  return out;
}

// Of one attend_token in a chain of all layers, each with a cache of its own.
double attention_us(const HeadShape& s, int depth, const AttendPlan& plan, const Stream& stream) {
  const QkvShape shape{.n = 1,
                       .n_heads = s.n_heads,
                       .n_kv_heads = s.n_kv_heads,
                       .head_dim = s.head_dim,
                       .n_dims = s.head_dim,
                       .style = RopeStyle::neox,
                       .eps = 1e-6f};
  const auto q_size = static_cast<std::size_t>(s.n_heads * s.head_dim);
  const auto kv_size = static_cast<std::size_t>(s.n_kv_heads * s.head_dim);
  const std::size_t layer_size = (static_cast<std::size_t>(depth) + 1) * kv_size;
  const auto cache = zeros<__half>(2 * layer_size * static_cast<std::size_t>(s.n_layers), stream);
  const auto table = zeros<float>((static_cast<std::size_t>(depth) + 1) * 128, stream);
  const auto q = zeros<float>(q_size, stream), k = zeros<float>(kv_size, stream),
             v = zeros<float>(kv_size, stream), out = zeros<float>(q_size, stream);
  const TokenScratchSize size = attend_token_scratch(shape);
  const auto partial = zeros<float>(size.n_partial, stream);
  const auto arrivals = zeros<unsigned>(size.n_arrivals, stream);
  const DeviceBuffer<int> position(1);
  set_int(position.data(), depth, stream.get());
  QkvVectors vectors{};
  vectors.cos_sin = table.data();
  return time_graph_us(stream,
                       [&] {
                         for (int layer = 0; layer < s.n_layers; ++layer) {
                           __half* k_cache = cache.data() + 2 * layer_size * layer;
                           attend_token(out.data(), partial.data(), arrivals.data(), q.data(),
                                        k_cache, k_cache + layer_size, k.data(), v.data(),
                                        position.data(), vectors, shape, stream.get(), plan);
                         }
                       }) /
         s.n_layers;
}

void attention(const Stream& stream) {
  constexpr AttendPlan kPlans[] = {{-1, 1}, {-1, 2}, {-1, 4}, {-1, 8}, {1 << 20, 2}};
  std::printf("attend_token, us   %8s %8s %8s %8s %8s\n", "1 step", "2 steps", "4 steps", "8 steps",
              "alone");
  for (const HeadShape& s : kShapes)
    for (const int depth : kDepths) {
      std::printf("%-5s depth %6d ", s.name, depth);
      for (const AttendPlan& plan : kPlans)
        if (plan.keys_alone < 0 || depth <= 4096)
          std::printf(" %8.2f", attention_us(s, depth, plan, stream));
      std::printf("  (bytes at 3 TB/s: %.2f us)\n", 4.0 * depth * s.n_kv_heads * s.head_dim / 3e6);
      std::fflush(stdout);
    }
}

// One token's end, n_tokens times in a graph.
double tail_us(int n_vocab, bool greedy, bool with_embedding, int n_tokens, const Stream& stream) {
  const auto vocab = static_cast<std::size_t>(n_vocab);
  const int n_embd = 896, n_ctx = 1024, n_partial = 132;
  const DeviceBuffer<float> logits(vocab);
  std::vector<float> values(vocab);
  for (std::size_t i = 0; i < vocab; ++i)  // as varied as real ones
    values[i] = 10 * static_cast<float>(std::sin(12.9898 * static_cast<double>(i * i % 78233)));
  logits.upload(values, stream.get());
  stream.synchronize();
  const auto x = zeros<float>(4096, stream);
  const auto bias = zeros<double>(vocab, stream);
  const auto counts = zeros<int>(vocab, stream), tokens = zeros<int>(n_ctx, stream);
  const auto keys = zeros<std::uint64_t>(kSampleGroups, stream);
  const auto ids = zeros<int>(kSampleGroups, stream), position = zeros<int>(1, stream);
  const auto state = zeros<SampleState>(1, stream);
  const auto partial = zeros<ArgmaxResult>(kMaxGemvBlocks, stream);
  const auto table = zeros<std::byte>(vocab * 2 * n_embd, stream);
  const PinnedBuffer<SampledToken> ring(kSampleRing);
  const SampleBuffers b{logits.data(), bias.data(),  counts.data(), keys.data(),
                        ids.data(),    state.data(), tokens.data(), position.data(),
                        ring.data(),   n_vocab,      n_ctx};
  CommonChain chain;
  if (!greedy) chain.top_k = 40, chain.top_p = 0.95, chain.temperature = 0.8;
  begin_sampling(b, chain, 1, 1, stream.get());
  return time_graph_us(stream,
                       [&] {
                         for (int i = 0; i < n_tokens; ++i) {
                           if (with_embedding)
                             embed(x.data(), {DType::F16, n_vocab, n_embd, table.data()},
                                   tokens.data(), position.data(), 1, stream.get());
                           if (greedy)
                             sample_greedy(b, partial.data(), n_partial, 0, stream.get());
                           else
                             sample_token(b, stream.get());
                         }
                       }) /
         n_tokens;
}

void tails(const Stream& stream) {
  for (const bool greedy : {true, false})
    std::printf("%-8s alone %.2f us, with the embedding %.2f us, as a graph of one %.2f us\n",
                greedy ? "greedy" : "top-k 40", tail_us(151936, greedy, false, 16, stream),
                tail_us(151936, greedy, true, 16, stream),
                tail_us(151936, greedy, true, 1, stream));
}

}  // namespace
}  // namespace haikuda::cuda

int main() {
  try {
    const haikuda::cuda::Stream stream = haikuda::cuda::Stream::create();
    haikuda::cuda::tails(stream);
    haikuda::cuda::attention(stream);
  } catch (const haikuda::Error& e) {
    std::fprintf(stderr, "attention_bench: %s\n", e.what());
    return 1;
  }
}
