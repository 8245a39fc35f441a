// Whole models with random weights: the CPU's logits, and the promises of infer/backend.h.
#include <cmath>
#include <cstring>

#include "cuda/forward.h"
#include "model_pair.h"
#include "support/catch.h"
#include "support/expect_error.h"

namespace haikuda::test {
namespace {

constexpr float kNearTie = 1e-3f;

void check_agreement(const TinyModelOptions& options, int n_prompt, int n_tokens) {
  const TinyModel tiny(options);
  const auto cpu = tiny.on_cpu(), gpu = tiny.on_cuda();
  const std::vector<int> prompt = random_tokens(n_prompt, tiny.model.config.n_vocab, 5);
  const Agreement a = compare_greedy(*cpu, *gpu, prompt, n_tokens, kNearTie);
  CHECK(a.worst_nmse <= 1e-5);
  const std::string name = options.architecture + ' ' + dtype_name(options.dtype);
  for (const std::string& tie : a.near_ties) WARN("near-tie in " << name << ": " << tie);
  for (const std::string& difference : a.differences) FAIL_CHECK(difference);
}

}  // namespace

TEST_CASE("model: cuda matches cpu for every type and architecture", "[cuda][model]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  const int type = GENERATE(range(0, static_cast<int>(all_dtypes().size())));
  const DTypeInfo& info = all_dtypes()[static_cast<std::size_t>(type)];
  CAPTURE(architecture, info.name);
  check_agreement({.architecture = architecture, .dtype = info.dtype}, 40, 64);
}

TEST_CASE("model: cuda matches cpu for each kind of rope scaling and of output", "[cuda][model]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama");
  const TinyRope rope =
      GENERATE(TinyRope::none, TinyRope::linear, TinyRope::yarn, TinyRope::llama3);
  const bool tied = GENERATE(false, true);
  CAPTURE(architecture, static_cast<int>(rope), tied);
  check_agreement({.architecture = architecture,
                   .dtype = DType::Q8_0,
                   .embedding_dtype = DType::Q6_K,
                   .tied = tied,
                   .rope = rope},
                  33, 16);
}

TEST_CASE("model: cuda matches cpu for other ratios and sizes of heads", "[cuda][model]") {
  const auto [n_heads, n_kv_heads, head_dim] =
      GENERATE(table<int, int, int>({{4, 4, 64}, {8, 1, 64}, {7, 1, 64}, {2, 1, 128}, {4, 2, 96}}));
  CAPTURE(n_heads, n_kv_heads, head_dim);
  TinyModelOptions options{.architecture = "qwen3", .dtype = DType::F16};
  options.n_embd = 448;
  options.n_heads = n_heads, options.n_kv_heads = n_kv_heads, options.head_dim = head_dim;
  check_agreement(options, 20, 16);
}

TEST_CASE("model: greedy text over 128 tokens", "[cuda][model]") {
  check_agreement({.architecture = "qwen2", .dtype = DType::F32}, 10, 128);
  check_agreement({.architecture = "llama", .dtype = DType::Q4_K}, 10, 128);
}

// Short enough for compute-sanitizer.
TEST_CASE("model: a prompt and a few tokens", "[cuda][model][sanitize]") {
  check_agreement({.architecture = "qwen2", .dtype = DType::F16, .n_layers = 1}, 40, 3);
  check_agreement({.architecture = "llama", .dtype = DType::Q4_K, .n_layers = 1}, 40, 3);
  check_agreement({.architecture = "qwen3", .dtype = DType::BF16, .n_layers = 1}, 40, 3);
}

// Each token twice, at the same position: both ways leave the same keys and values behind.
TEST_CASE("model: fused decoding computes what its steps compute", "[cuda][model]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  const DType type = GENERATE(DType::F16, DType::F32, DType::Q8_0, DType::Q5_0, DType::Q4_K,
                              DType::Q6_K, DType::IQ4_XS);
  CAPTURE(architecture, dtype_name(type));
  const TinyModel tiny({.architecture = architecture, .dtype = type});
  const cuda::Stream stream = cuda::Stream::create();
  cuda::DeviceWeights weights(tiny.model);
  weights.wait();
  cuda::Forward forward(tiny.model, weights, {.n_ctx = 16, .chunk = 16, .has_bfloat16 = true},
                        stream);
  const std::vector<int> tokens = random_tokens(5, tiny.model.config.n_vocab, 6);
  forward.tokens().upload(tokens, stream.get());
  struct Result {
    std::vector<float> logits;
    cuda::ArgmaxResult best;
  };
  const auto run = [&](int position, cuda::DecodePath path) {
    Result out{std::vector<float>(static_cast<std::size_t>(tiny.model.config.n_vocab)), {}};
    forward.run(position, 1, true, path);
    forward.logits().download(out.logits, stream.get());
    forward.best().download({&out.best, 1}, stream.get());
    stream.synchronize();
    return out;
  };
  for (int position = 0; position < 5; ++position) {
    const Result want = run(position, cuda::DecodePath::steps);
    const Result got = run(position, cuda::DecodePath::fused);
    CHECK_THAT(got.logits, NmseBelow(want.logits, 1e-5));
    CHECK(got.best.index == cpu::argmax(got.logits));
    CHECK(want.best.index == cpu::argmax(want.logits));
  }
}

// Keys of the past in one piece, in many, and shared out over blocks.
TEST_CASE("model: decoding after many tokens", "[cuda][model]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "qwen3");
  const DType type = GENERATE(DType::F16, DType::BF16, DType::Q8_0);
  const int n = GENERATE(100, 447, 1200);
  constexpr int kMore = 4;
  CAPTURE(architecture, dtype_name(type), n);
  const TinyModel tiny({.architecture = architecture, .dtype = type, .n_ctx = n + kMore});
  const auto cpu = tiny.on_cpu(n + kMore), gpu = tiny.on_cuda(n + kMore);
  const std::vector<int> tokens = random_tokens(n + kMore, tiny.model.config.n_vocab, 4);
  const auto part = [&](int first, int size) {
    return std::span(tokens).subspan(static_cast<std::size_t>(first),
                                     static_cast<std::size_t>(size));
  };
  CHECK_THAT(logits_after(*gpu, part(0, n)), NmseBelow(logits_after(*cpu, part(0, n)), 1e-5));
  for (int i = n; i < n + kMore; ++i)
    CHECK_THAT(logits_after(*gpu, part(i, 1)), NmseBelow(logits_after(*cpu, part(i, 1)), 1e-5));
}

TEST_CASE("model: prefill and decode compute the same", "[cuda][model]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  const DType type = GENERATE(DType::F16, DType::BF16, DType::Q4_K);
  const int n = GENERATE(1, 2, 8, 9, 40);
  CAPTURE(architecture, dtype_name(type), n);
  const TinyModel tiny({.architecture = architecture, .dtype = type});
  const std::vector<int> tokens = random_tokens(n + 1, tiny.model.config.n_vocab, 6);
  const auto gpu = tiny.on_cuda(64);
  const std::vector<float> at_once = logits_after(*gpu, tokens);
  gpu->truncate(0);
  gpu->append(std::span(tokens).first(static_cast<std::size_t>(n)));
  CHECK(gpu->position() == n);
  CHECK_THAT(logits_after(*gpu, std::span(tokens).last(1)), NmseBelow(at_once, 1e-5));
  CHECK(gpu->position() == n + 1);
}

TEST_CASE("model: the size of chunks does not matter", "[cuda][model]") {
  const DType type = GENERATE(DType::F32, DType::BF16, DType::F16, DType::Q5_0);
  CAPTURE(dtype_name(type));
  const TinyModel tiny({.architecture = "qwen2", .dtype = type, .n_ctx = 1024});
  const int n = 600;
  const std::vector<int> tokens = random_tokens(n, tiny.model.config.n_vocab, 7);
  const std::vector<float> whole = logits_after(*tiny.on_cuda(n, n), tokens);
  for (const int chunk : {1, 7, 64, 512}) {
    CAPTURE(chunk);
    CHECK_THAT(logits_after(*tiny.on_cuda(n, chunk), tokens), NmseBelow(whole, 1e-5));
  }
}

TEST_CASE("model: truncating and appending again gives equal bits", "[cuda][model]") {
  const TinyModel tiny({.architecture = "qwen3", .dtype = DType::Q8_0});
  const std::vector<int> tokens = random_tokens(50, tiny.model.config.n_vocab, 8);
  const auto gpu = tiny.on_cuda(64, 16);
  const auto first = logits_after(*gpu, tokens);
  gpu->truncate(0);
  CHECK(logits_after(*gpu, tokens) == first);
  gpu->truncate(32);  // a multiple of the chunk: the same launches follow
  CHECK(logits_after(*gpu, std::span(tokens).subspan(32)) == first);
  gpu->append(random_tokens(7, tiny.model.config.n_vocab, 9));
  gpu->truncate(32);  // what was appended since leaves no trace
  CHECK(logits_after(*gpu, std::span(tokens).subspan(32)) == first);
  CHECK(logits_after(*tiny.on_cuda(64, 16), tokens) == first);  // nor does the backend it ran on
}

TEST_CASE("model: two runs give equal bits", "[cuda][model]") {
  const TinyModel tiny({.architecture = "llama", .dtype = DType::Q4_0});
  std::vector<float> first;
  for (int run = 0; run < 3; ++run) {
    const auto gpu = tiny.on_cuda();
    std::vector<float> all = logits_after(*gpu, random_tokens(30, tiny.model.config.n_vocab, 3));
    for (int i = 0; i < 20; ++i) {
      const std::vector<int> next = {gpu->argmax()};
      for (const float x : logits_after(*gpu, next)) all.push_back(x);
    }
    if (run == 0) first = all;
    CHECK(all == first);
  }
}

// Were the position to stand still, every token would see itself alone at position 0, and equal
// tokens would give equal logits.
TEST_CASE("model: the position moves", "[cuda][model]") {
  const TinyModel tiny({.architecture = "qwen2", .dtype = DType::F32});
  const auto gpu = tiny.on_cuda(), cpu = tiny.on_cpu();
  const std::vector<int> tokens = {11, 12, 11, 12, 11};
  std::vector<std::vector<float>> seen;
  for (const int token : tokens) {
    const std::vector<int> one = {token};
    seen.push_back(logits_after(*gpu, one));
    CHECK_THAT(seen.back(), NmseBelow(logits_after(*cpu, one), 1e-5));
  }
  for (const auto& [a, b] : {std::pair{0u, 2u}, {2u, 4u}, {1u, 3u}})
    CHECK(nmse(seen[a], seen[b]) > 1e-4);
  gpu->truncate(0);
  const std::vector<int> first = {11};
  CHECK(logits_after(*gpu, first) == seen[0]);
}

TEST_CASE("model: the greatest logit is the device's argmax", "[cuda][model]") {
  const TinyModel tiny({.architecture = "qwen2", .dtype = DType::F16});
  const auto gpu = tiny.on_cuda();
  gpu->append(random_tokens(9, tiny.model.config.n_vocab, 3));
  for (int i = 0; i < 10; ++i) {
    const std::vector<int> next = {gpu->argmax()};
    CHECK(next[0] == cpu::argmax(gpu->logits()));
    gpu->append(next);
  }
}

TEST_CASE("model: logits that are not finite are an error that names the position",
          "[cuda][model]") {
  TinyModel tiny({.architecture = "llama", .dtype = DType::F16});
  const auto offset =
      static_cast<std::size_t>(tiny.model.weights.output_norm.data - tiny.bytes.data());
  const float nan = std::nanf("");
  std::memcpy(tiny.bytes.data() + offset, &nan, sizeof nan);  // the file's bytes lie in memory
  const auto gpu = tiny.on_cuda();
  gpu->append(std::vector<int>{1, 2, 3});
  const Error error = error_of([&] { (void)gpu->argmax(); });
  CHECK(error.code() == ExitCode::gpu_fault);
  CHECK_THAT(error.what(), contains_text("position 2"));
}

TEST_CASE("backend: what cannot be done is refused", "[cuda][model]") {
  const TinyModel tiny({});
  const auto gpu = tiny.on_cuda(8);
  CHECK(error_of([&] { gpu->append(std::vector<int>(9, 1)); }).code() == ExitCode::internal);
  CHECK(error_of([&] { gpu->append(std::vector<int>{tiny.model.config.n_vocab}); }).code() ==
        ExitCode::internal);
  CHECK(error_of([&] { gpu->append(std::vector<int>{}); }).code() == ExitCode::internal);
  CHECK(error_of([&] { gpu->truncate(1); }).code() == ExitCode::internal);
  gpu->append(std::vector<int>(8, 1));
  CHECK(error_of([&] { gpu->append(std::vector<int>{1}); }).code() == ExitCode::internal);
  CHECK(error_of([&] {
          (void)make_cuda_backend(tiny.model, {.n_ctx = 8, .device_index = 99});
        }).code() == ExitCode::no_gpu);
}

TEST_CASE("backend: says what it is and what it holds", "[cuda][model]") {
  std::string reason;
  const auto devices = find_cuda_devices(reason);
  REQUIRE(!devices.empty());
  CHECK(built_with_cuda());
  CHECK(devices[0].total_bytes > 0);
  const TinyModel tiny({});
  const auto gpu = tiny.on_cuda(100);
  CHECK_THAT(gpu->device_name(), contains_text(devices[0].name));
  CHECK(gpu->n_ctx() == 100);
  CHECK(gpu->device_bytes() > tiny.model.weights.total_bytes());
  const int most = max_cuda_context(tiny.model, devices[0]);
  CHECK(most > 1000);
  WARN(gpu->device_name() << ", largest context of the tiny model " << most);
}

TEST_CASE("backend: a cache that does not fit is refused with the sizes", "[cuda][model]") {
  const TinyModel tiny({});
  const Error error = error_of([&] { (void)tiny.on_cuda(2000000000, 1); });
  CHECK(error.code() == ExitCode::out_of_memory);
  CHECK_THAT(error.what(), contains_text("KV cache of 2000000000 positions"));
}

}  // namespace haikuda::test
