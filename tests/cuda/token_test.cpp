// The kernel that decodes a token, alone on a model as small as it takes: each of its instances.
#include "cuda/token_program.h"

#include "device_array.h"
#include "model/rope_frequencies.h"
#include "model_pair.h"

namespace haikuda::test {
namespace {

constexpr int kTokens = 3;

// Weights, cache and buffers, as Forward has them.
struct TokenFixture {
  explicit TokenFixture(const TinyModelOptions& options)
      : tiny(options),
        weights(tiny.model),
        cache(tiny.model.config, kTokens),
        tokens(random_tokens(kTokens, tiny.model.config.n_vocab, 3)),
        ids(tokens),
        x(static_cast<std::size_t>(tiny.model.config.n_embd)),
        logits(static_cast<std::size_t>(tiny.model.config.n_vocab)),
        cos_sin(static_cast<std::size_t>(kTokens * tiny.model.config.rope.n_dims)),
        best(cuda::kMaxGemvBlocks),
        position(1),
        program(make_program()) {}

  // By the instance with marks, or that without.
  std::vector<float> logits_at(int i, bool is_timed) const {
    const cudaStream_t stream = test_stream().get();
    cuda::set_int(position.data(), i, stream);
    cuda::embed(x.data(), weights.token_embd, ids.data(), position.data(), 1, stream);
    if (is_timed) {
      const int n_phases = program->head_phase() + 1;
      const DeviceArray<unsigned long long> marks(
          static_cast<std::size_t>(program->n_blocks() * n_phases * cuda::kTokenMarks));
      program->run_timed(marks.data(), stream);
      (void)marks.read();  // its guard bands
    } else {
      program->run(true, stream);
    }
    return logits.read();
  }

  TinyModel tiny;
  cuda::DeviceWeights weights;
  cuda::KvCache cache;
  std::vector<int> tokens;
  DeviceArray<int> ids;
  DeviceArray<float> x, logits, cos_sin;
  DeviceArray<cuda::ArgmaxResult> best;
  DeviceArray<int> position;
  std::unique_ptr<cuda::TokenProgram> program;  // null: the kernel does not take the model

 private:
  std::unique_ptr<cuda::TokenProgram> make_program() {
    const Model& model = tiny.model;
    const RopeFrequencies frequencies = rope_frequencies(model.config.rope, {});
    const DeviceArray<double> radians(frequencies.radians);
    cuda::rope_table(cos_sin.data(), radians.data(), frequencies.magnitude, kTokens,
                     model.config.rope.n_dims / 2, test_stream().get());
    weights.wait();
    return cuda::TokenProgram::make(
        model, weights, cache,
        {x.data(), logits.data(), best.data(), position.data(), cos_sin.data()}, test_stream());
  }
};

bool has_kernel() {
  return cuda::device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9;
}

// Each token's logits as the CPU's; keys of a block alone, then shared out, then with marks.
void check_tokens(const TokenFixture& f) {
  REQUIRE(f.program != nullptr);
  const auto cpu = f.tiny.on_cpu();
  for (int i = 0; i < kTokens; ++i) {
    CAPTURE(i);
    if (i == 1) f.program->set_keys_alone(0);
    const auto token = std::span(f.tokens).subspan(static_cast<std::size_t>(i), 1);
    CHECK_THAT(f.logits_at(i, i == 2), NmseBelow(logits_after(*cpu, token), 1e-5));
  }
}

}  // namespace

// qwen2 has biases and heads of 64, qwen3 norms of heads and heads of 128; 8 to 16 units of a row
// for each of the two warps that share a slot.
TEST_CASE("token: every instance of plain types, keys of a block alone and shared out",
          "[cuda][ops][token][sanitize]") {
  if (!has_kernel()) HAIKUDA_SKIP("a GPU before sm_90 does not decode by this kernel");
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "qwen3");
  const DType type = GENERATE(DType::F16, DType::BF16);
  const int n_embd = GENERATE(128, 640, 768, 896, 1024);
  const int head_dim = architecture == "qwen2" ? 64 : 128;
  CAPTURE(architecture, dtype_name(type), n_embd);
  const TokenFixture f({.architecture = architecture,
                        .dtype = type,
                        .n_layers = 1,
                        .n_embd = n_embd,
                        .n_heads = n_embd / head_dim,
                        .n_kv_heads = 1,
                        .n_ff = 128});
  REQUIRE(f.tiny.model.config.head_dim == head_dim);
  check_tokens(f);
}

const std::vector<DType> kIntegerTypes = {DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1,
                                          DType::Q8_0, DType::Q4_K, DType::Q5_K, DType::Q6_K};

TEST_CASE("token: every instance of quantized types, and a step of v alone",
          "[cuda][ops][token][sanitize]") {
  if (!has_kernel()) HAIKUDA_SKIP("a GPU before sm_90 does not decode by this kernel");
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "qwen3");
  const DType type = GENERATE(from_range(kIntegerTypes));
  CAPTURE(architecture, dtype_name(type));
  check_tokens(TokenFixture({.architecture = architecture,
                             .dtype = type,
                             .richer_dtype = type == DType::Q4_K ? DType::Q6_K : type,
                             .n_layers = 1,
                             .n_embd = 512,
                             .n_heads = architecture == "qwen2" ? 8 : 4,
                             .n_kv_heads = 1,
                             .n_ff = 1280}));
}

// 18 to 32 units a row, which fill a slot or not; then rows of several slots, of which the last is
// shorter, up to more than there are groups of warps.
TEST_CASE("token: rows of every length", "[cuda][ops][token]") {
  if (!has_kernel()) HAIKUDA_SKIP("a GPU before sm_90 does not decode by this kernel");
  const int n_embd = GENERATE(576, 640, 768, 896, 1024, 1152);
  const DType type = GENERATE(DType::F16, DType::BF16, DType::Q8_0, DType::Q5_0);
  CAPTURE(n_embd, dtype_name(type));
  check_tokens(TokenFixture({.architecture = "qwen2",
                             .dtype = type,
                             .n_layers = 1,
                             .n_embd = n_embd,
                             .n_heads = n_embd / 64,
                             .n_kv_heads = 1,
                             .n_ff = n_embd == 896 ? 4864 : 2432}));
}

// In rows of whole slots, of several chunks and of several slots; with another type in v and down,
// and a third in the head, as in files of mixed types.
TEST_CASE("token: quantized types, alone and mixed", "[cuda][ops][token]") {
  if (!has_kernel()) HAIKUDA_SKIP("a GPU before sm_90 does not decode by this kernel");
  const DType type = GENERATE(from_range(kIntegerTypes));
  const int n_embd = GENERATE(512, 1024, 1280, 1536);
  const bool is_mixed = GENERATE(false, true);
  CAPTURE(dtype_name(type), n_embd, is_mixed);
  check_tokens(
      TokenFixture({.architecture = n_embd <= 1024 ? "qwen2" : "qwen3",
                    .dtype = type,
                    .embedding_dtype = is_mixed ? std::optional(DType::Q8_0) : std::nullopt,
                    .richer_dtype = is_mixed ? std::optional(DType::Q6_K) : std::nullopt,
                    .n_layers = 2,
                    .n_embd = n_embd,
                    .n_heads = n_embd / 128,
                    .n_kv_heads = n_embd == 1280 ? 5 : 2,
                    .n_ff = n_embd == 1536 ? 3584 : 2304}));
}

}  // namespace haikuda::test
