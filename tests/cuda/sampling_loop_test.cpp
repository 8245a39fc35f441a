// Sampling on the device ahead of the host, over whole models: the tokens that the host's Sampler
// takes from the same backend's logits.
#include <cmath>
#include <cstring>
#include <optional>

#include "infer/sampler.h"
#include "model_pair.h"
#include "support/catch.h"
#include "support/expect_error.h"

namespace haikuda::test {
namespace {

std::vector<int> sampled_on_host(Backend& backend,
                                 const SamplerOptions& options,
                                 std::vector<int> history,
                                 int n) {
  Sampler sampler(options);
  std::vector<int> out;
  for (int i = 0; i < n; ++i) {
    out.push_back(sampler.sample(backend.logits(), history));
    history.push_back(out.back());
    if (i + 1 < n) backend.append({&history.back(), 1});
  }
  return out;
}

std::vector<int> sampled_on_device(Backend& backend,
                                   const SamplerOptions& options,
                                   const std::vector<int>& history,
                                   int n,
                                   int n_most) {
  REQUIRE(backend.can_sample(options));
  backend.start_sampling(options, history, n_most);
  std::vector<int> out;
  for (int i = 0; i < n; ++i) {
    out.push_back(backend.next_token());
    CHECK(backend.position() == static_cast<int>(history.size()) + i);
  }
  backend.stop_sampling();
  return out;
}

struct LoopFixture {
  explicit LoopFixture(const TinyModelOptions& options = {}, int n_ctx = 64)
      : tiny(options),
        prompt(random_tokens(9, tiny.model.config.n_vocab, 4)),
        host(tiny.on_cuda(n_ctx)),
        device(tiny.on_cuda(n_ctx)) {
    host->append(prompt);
    device->append(prompt);
  }
  int n_prompt() const { return static_cast<int>(prompt.size()); }
  std::vector<int> want(const SamplerOptions& options, int n) {
    host->truncate(0);
    host->append(prompt);
    return sampled_on_host(*host, options, prompt, n);
  }

  TinyModel tiny;
  std::vector<int> prompt;
  std::unique_ptr<Backend> host, device;
};

}  // namespace

TEST_CASE("sampling loop: the host's tokens", "[cuda][model][loop]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  CAPTURE(architecture);
  LoopFixture f({.architecture = architecture, .dtype = DType::F16, .n_layers = 2});
  SamplerOptions penalized{.temperature = 1.5,
                           .repeat_penalty = 1.3,
                           .repeat_last_n = 6,
                           .presence_penalty = 0.2,
                           .seed = 3};
  penalized.logit_bias = {{2, -INFINITY}, {5, 1.5}};
  for (const SamplerOptions& options : {SamplerOptions{.temperature = 0}, SamplerOptions{.seed = 1},
                                        SamplerOptions{.temperature = 3, .seed = 2}, penalized}) {
    CAPTURE(options.temperature, options.seed);
    f.device->truncate(f.n_prompt());
    CHECK(sampled_on_device(*f.device, options, f.prompt, 20, 1000) == f.want(options, 20));
  }
}

// The kernel of a token embeds greedy tokens itself: tables of two bytes a weight, and of types
// that each of its instances for quantized weights has.
TEST_CASE("sampling loop: the host's tokens of every kind of weights", "[cuda][model][loop]") {
  struct Types {
    DType dtype;
    std::optional<DType> embedding, richer;
  };
  const auto types =
      GENERATE(Types{DType::BF16, {}, {}}, Types{DType::Q8_0, {}, {}},
               Types{DType::Q4_K, {}, DType::Q6_K}, Types{DType::Q5_0, DType::Q8_0, DType::Q6_K},
               Types{DType::Q5_1, {}, {}}, Types{DType::Q5_K, DType::Q4_1, {}});
  CAPTURE(dtype_name(types.dtype));
  LoopFixture f({.architecture = "qwen2",
                 .dtype = types.dtype,
                 .embedding_dtype = types.embedding,
                 .richer_dtype = types.richer,
                 .n_layers = 2,
                 .n_embd = 512,
                 .n_heads = 8,
                 .n_kv_heads = 1,
                 .n_ff = 1280});
  for (const SamplerOptions& options :
       {SamplerOptions{.temperature = 0}, SamplerOptions{.temperature = 3, .seed = 2}}) {
    CAPTURE(options.temperature);
    f.device->truncate(f.n_prompt());
    CHECK(sampled_on_device(*f.device, options, f.prompt, 20, 1000) == f.want(options, 20));
  }
}

TEST_CASE("sampling loop: starts again from the logits of the prompt",
          "[cuda][model][loop][sanitize]") {
  LoopFixture f;
  const std::vector<float> first = copy_of(f.device->logits());
  const SamplerOptions options{.temperature = 2, .seed = 8};
  for (int i = 0; i < 3; ++i) {
    f.device->truncate(f.n_prompt());
    CHECK(sampled_on_device(*f.device, options, f.prompt, 5 + i, 5 + i) == f.want(options, 5 + i));
    f.device->truncate(f.n_prompt());
    CHECK(copy_of(f.device->logits()) == first);
    CHECK(f.device->argmax() == cpu::argmax(first));
  }
  f.device->truncate(f.n_prompt());
  const SamplerOptions greedy{.temperature = 0};
  CHECK(sampled_on_device(*f.device, greedy, f.prompt, 3, 3) == f.want(greedy, 3));
}

TEST_CASE("sampling loop: goes on after it was stopped early", "[cuda][model][loop]") {
  LoopFixture f;
  const SamplerOptions options{.temperature = 2, .seed = 8};
  const std::vector<int> tokens = sampled_on_device(*f.device, options, f.prompt, 7, 1000);
  CHECK(f.device->position() == f.n_prompt() + 6);
  CHECK(f.want(options, 7) == tokens);
  // The same tokens follow on both sides, appended and sampled in turn.
  std::vector<int> all = f.prompt;
  all.insert(all.end(), tokens.begin(), tokens.end());
  for (const std::vector<int>& next : {std::vector<int>{tokens.back(), 3, 4}, {5}}) {
    CHECK(logits_after(*f.device, next) == logits_after(*f.host, next));
  }
  all.insert(all.end(), {3, 4, 5});
  CHECK(sampled_on_device(*f.device, options, all, 6, 6) ==
        sampled_on_host(*f.host, options, all, 6));
}

TEST_CASE("sampling loop: up to the context's end and not beyond", "[cuda][model][loop]") {
  LoopFixture f({}, 16);
  const SamplerOptions options{.temperature = 2, .seed = 8};
  const int n = 16 - f.n_prompt() + 1;
  CHECK(sampled_on_device(*f.device, options, f.prompt, n, 1000) == f.want(options, n));
  CHECK(f.device->position() == 16);
  f.device->truncate(f.n_prompt());
  f.device->start_sampling(options, f.prompt, 2);
  (void)f.device->next_token(), (void)f.device->next_token();
  CHECK(error_of([&] { (void)f.device->next_token(); }).code() == ExitCode::internal);
}

TEST_CASE("sampling loop: logits that are not finite name the position", "[cuda][model][loop]") {
  TinyModel tiny({.architecture = "llama", .dtype = DType::F16, .n_layers = 1});
  const auto offset =
      static_cast<std::size_t>(tiny.model.weights.output_norm.data - tiny.bytes.data());
  const float nan = std::nanf("");
  std::memcpy(tiny.bytes.data() + offset, &nan, sizeof nan);
  const auto gpu = tiny.on_cuda();
  const std::vector<int> prompt = {1, 2, 3};
  gpu->append(prompt);
  gpu->start_sampling({}, prompt, 10);
  const Error error = error_of([&] { (void)gpu->next_token(); });
  CHECK(error.code() == ExitCode::gpu_fault);
  CHECK_THAT(error.what(), contains_text("position 2"));
  CHECK_THAT(error.what(), contains_text("token 0 has"));
}

TEST_CASE("sampling loop: what it cannot do", "[cuda][model][loop]") {
  LoopFixture f;
  CHECK(!f.device->can_sample({.typical_p = 0.5}));
  CHECK(!f.device->can_sample({.mirostat = 1}));
  CHECK(f.device->can_sample({.top_k = 1000000}) == (f.tiny.model.config.n_vocab <= 1024));
  CHECK(error_of([&] {
          f.device->start_sampling({}, std::vector<int>{1, 2}, 5);
        }).code() == ExitCode::internal);
}

}  // namespace haikuda::test
