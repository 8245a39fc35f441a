// The whole model on the CPU: properties that hold bit for bit, whatever the weights.
#include <vector>

#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "cpu/cpu_backend.h"
#include "cpu/host_memory.h"
#include "support/catch.h"
#include "support/nmse.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

// A model in memory and the bytes it views.
struct Loaded {
  explicit Loaded(const TinyModelOptions& options)
      : bytes(make_tiny_model(options)), model(open_model_bytes(bytes, "tiny")) {}
  std::vector<std::byte> bytes;
  Model model;
};

std::vector<int> some_tokens(int n, int n_vocab, int seed = 1) {
  std::vector<int> out;
  out.reserve(static_cast<std::size_t>(n));
  for (int i = 0; i < n; ++i) out.push_back((i * 37 + seed * 11) % n_vocab);
  return out;
}

std::vector<float> logits_of(Backend& backend) {
  return {backend.logits().begin(), backend.logits().end()};
}

std::unique_ptr<Backend> backend_of(const Model& model, int chunk = 512, int threads = 2) {
  return make_cpu_backend(model, {.n_ctx = 128, .n_threads = threads, .chunk = chunk});
}

TEST_CASE("cpu backend: chunk size and threads never change a bit of the logits", "[cpu][model]") {
  const std::string arch = GENERATE("qwen2", "llama", "qwen3");
  const Loaded tiny({.architecture = arch});
  const auto tokens = some_tokens(100, tiny.model.config.n_vocab);
  const auto whole = backend_of(tiny.model);
  whole->append(tokens);
  const auto want = logits_of(*whole);
  for (const int chunk : {1, 7, 64}) {
    const auto chunked = backend_of(tiny.model, chunk, chunk == 7 ? 1 : 2);
    chunked->append(tokens);
    CAPTURE(arch, chunk);
    REQUIRE(logits_of(*chunked) == want);
    REQUIRE(chunked->position() == 100);
  }
}

TEST_CASE("cpu backend: prefill then decode equals one prefill", "[cpu][model]") {
  const std::string arch = GENERATE("qwen2", "llama", "qwen3");
  const Loaded tiny({.architecture = arch});
  const auto tokens = some_tokens(20, tiny.model.config.n_vocab);
  const auto at_once = backend_of(tiny.model), stepwise = backend_of(tiny.model);
  at_once->append(tokens);
  stepwise->append(std::span(tokens).first(15));
  for (int i = 15; i < 20; ++i) {
    REQUIRE(stepwise->position() == i);
    stepwise->append(std::span(tokens).subspan(static_cast<std::size_t>(i), 1));
  }
  REQUIRE(logits_of(*stepwise) == logits_of(*at_once));
}

TEST_CASE("cpu backend: the same token at another position gives other logits", "[cpu][model]") {
  const Loaded tiny({});
  const auto backend = backend_of(tiny.model);
  std::vector<std::vector<float>> seen;
  const int tokens[] = {40, 41, 42};
  for (int repeat = 0; repeat < 3;
       ++repeat) {  // a position that stood still would write one slot again and again
    backend->append(tokens);
    seen.push_back(logits_of(*backend));
  }
  REQUIRE(nmse(seen[1], seen[0]) > 1e-4);
  REQUIRE(nmse(seen[2], seen[1]) > 1e-4);
}

TEST_CASE("cpu backend: an earlier token matters and a later one does not", "[cpu][model]") {
  const Loaded tiny({});
  auto tokens = some_tokens(10, tiny.model.config.n_vocab);
  const auto first = backend_of(tiny.model), changed = backend_of(tiny.model);
  first->append(tokens);
  tokens[0] = (tokens[0] + 1) % tiny.model.config.n_vocab;
  changed->append(tokens);
  REQUIRE(nmse(logits_of(*changed), logits_of(*first)) > 1e-6);
}

TEST_CASE("cpu backend: truncate and replay give the same logits", "[cpu][model]") {
  const Loaded tiny({});
  const auto tokens = some_tokens(12, tiny.model.config.n_vocab),
             others = some_tokens(5, tiny.model.config.n_vocab, 9);
  const auto backend = backend_of(tiny.model);
  backend->append(tokens);
  const auto want = logits_of(*backend);
  backend->append(others);
  backend->truncate(4);
  REQUIRE(backend->position() == 4);
  backend->append(std::span(tokens).subspan(4));
  REQUIRE(logits_of(*backend) == want);
}

TEST_CASE("cpu backend: the context can be filled to its last position and not beyond",
          "[cpu][model]") {
  const Loaded tiny({});
  const auto backend = make_cpu_backend(tiny.model, {.n_ctx = 8, .n_threads = 1, .chunk = 3});
  backend->append(some_tokens(8, tiny.model.config.n_vocab));
  REQUIRE(backend->position() == 8);
  REQUIRE_THROWS_AS(backend->append(some_tokens(1, tiny.model.config.n_vocab)), Error);
}

TEST_CASE("cpu backend: a cache of halves holds halves and moves the logits a little",
          "[cpu][model]") {
  const Loaded tiny({});
  const auto tokens = some_tokens(9, tiny.model.config.n_vocab);
  const auto exact = backend_of(tiny.model);
  const auto halves =
      make_cpu_backend(tiny.model, {.n_ctx = 128, .n_threads = 1, .half_cache = true});
  exact->append(tokens);
  halves->append(tokens);
  const double error = nmse(logits_of(*halves), logits_of(*exact));
  CHECK(error > 0);
  CHECK(error < 1e-5);
  for (const float x : halves->cached_kv(0).k) CHECK(x == half_to_float(float_to_half(x)));
}

TEST_CASE("available memory: told by /proc, guessed where that is not mounted", "[cpu]") {
  const std::size_t told = cpu::available_memory(), guessed = cpu::available_memory("/nowhere");
  CHECK(told > 0);
  CHECK(guessed > 0);
}

TEST_CASE("check_finite_logits: names the position and the token", "[model]") {
  const std::vector<float> logits = {0, 1, NAN};
  REQUIRE_NOTHROW(check_finite_logits(std::span(logits).first(2), 3));
  REQUIRE_THROWS_WITH(check_finite_logits(logits, 3),
                      contains_text("position 2") && contains_text("token 2"));
}

}  // namespace
}  // namespace haikuda::test
