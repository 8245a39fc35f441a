// The generation loop on a tiny model: stop rules, several samples of one prompt, what is reported.
#include "infer/generator.h"

#include <algorithm>
#include <cmath>

#include "cpu/cpu_backend.h"
#include "support/catch.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

struct Fixture {
  Fixture()
      : bytes(make_tiny_model({.n_embd = 64, .n_ff = 96})),
        model(open_model_bytes(bytes, "tiny")),
        tokenizer(Tokenizer::create(model.files.metadata)),
        backend(make_cpu_backend(model, {.n_ctx = 96, .n_threads = 1})),
        prompt(tokenizer->encode("hello")) {}

  GenerateResult run(const GenerateOptions& options) {
    backend->truncate(0);
    text.clear();
    event_text.clear();
    return generate(*backend, *tokenizer, prompt, options, hooks());
  }
  GenerateHooks hooks() {
    return {.on_text = [this](std::string_view piece) { text += piece; },
            .should_stop = [this] { return stop_after >= 0 && stop_after-- == 0; },
            .on_token = [this](const TokenEvent& event) { event_text += event.text; }};
  }

  std::vector<std::byte> bytes;
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Backend> backend;
  std::vector<int> prompt;
  std::string text, event_text;
  int stop_after = -1;  // questions until it asks for the end
};

SamplerOptions hot(std::uint64_t seed) {
  return {.temperature = 3, .seed = seed};
}

TEST_CASE("generator: a stop string ends the text before it", "[infer]") {
  Fixture f;
  const GenerateResult whole = f.run({.n_predict = 40, .sampler = hot(3)});
  const std::string all = f.text;
  REQUIRE(all.size() > 8);
  // Every stretch of the text as the stop string, so also those across tokens.
  for (std::size_t at = 0; at + 5 < all.size(); ++at) {
    if ((static_cast<unsigned char>(all[at]) & 0xc0) == 0x80 ||
        (static_cast<unsigned char>(all[at + 5]) & 0xc0) == 0x80)
      continue;
    const std::string stop = all.substr(at, 5);
    const GenerateResult r = f.run({.n_predict = 40, .sampler = hot(3), .stop = {stop}});
    CAPTURE(stop);
    REQUIRE(r.reason == FinishReason::stop);
    REQUIRE(r.stop == stop);
    REQUIRE(f.text == all.substr(0, all.find(stop)));
    REQUIRE(f.event_text == f.text);
    REQUIRE(r.tokens.size() <= whole.tokens.size());
  }
}

TEST_CASE("generator: a stop string that never comes changes nothing", "[infer]") {
  Fixture f;
  f.run({.n_predict = 30, .sampler = hot(5)});
  const std::string all = f.text;
  const GenerateResult r = f.run({.n_predict = 30,
                                  .sampler = hot(5),
                                  .stop = {"\x01\x02never", all.substr(all.size() - 1) + "\x01"}});
  CHECK(r.reason == FinishReason::length);
  CHECK(f.text == all);
}

TEST_CASE("generator: samples of one prompt equal runs of their own", "[infer]") {
  Fixture f;
  Generator generator(*f.backend, *f.tokenizer, f.prompt);
  REQUIRE(generator.prefill(2, [] { return false; }));
  std::vector<std::vector<int>> samples;
  for (std::uint64_t seed = 1; seed < 4; ++seed)
    samples.push_back(generator.run({.n_predict = 20, .sampler = hot(seed)}, f.hooks()).tokens);
  for (std::uint64_t seed = 1; seed < 4; ++seed)
    CHECK(f.run({.n_predict = 20, .sampler = hot(seed)}).tokens == samples[seed - 1]);
  CHECK(samples[0] != samples[1]);
}

TEST_CASE("generator: log probabilities are the model's own", "[infer]") {
  Fixture f;
  const int n_vocab = f.model.config.n_vocab;
  const GenerateResult r =
      f.run({.n_predict = 6, .sampler = {.temperature = 0}, .n_logprobs = n_vocab});
  REQUIRE(r.logprobs.size() == r.tokens.size());
  for (std::size_t i = 0; i < r.tokens.size(); ++i) {
    const Logprobs& l = r.logprobs[i];
    CHECK(l.chosen.id == r.tokens[i]);
    CHECK(l.top[0].id == r.tokens[i]);  // greedy
    CHECK(l.top[0].logprob == l.chosen.logprob);
    CHECK(static_cast<int>(l.top.size()) == n_vocab);
    double sum = 0;
    for (const TokenLogprob& p : l.top) sum += std::exp(p.logprob);
    CHECK(sum == Approx(1).epsilon(1e-9));
  }
}

TEST_CASE("generator: --ignore-eos goes on", "[infer]") {
  Fixture f;
  // A bias makes the end-of-generation token the likeliest.
  SamplerOptions ending{.temperature = 0};
  const int eos = f.tokenizer->vocabulary().end_of_generation()[0];
  ending.logit_bias = {{eos, 1000}};
  const GenerateResult ended = f.run({.n_predict = 10, .sampler = ending});
  CHECK(ended.reason == FinishReason::eos);
  CHECK(ended.tokens.empty());
  const GenerateResult r = f.run({.n_predict = 10, .sampler = ending, .ignore_eos = true});
  CHECK(r.reason == FinishReason::length);
  CHECK(r.tokens.size() == 10);
  CHECK(std::find(r.tokens.begin(), r.tokens.end(), eos) == r.tokens.end());
}

// Were the tokens only made unlikely, their logits would stretch the deviation beyond all others.
TEST_CASE("generator: --ignore-eos leaves top-n-sigma its meaning", "[infer]") {
  Fixture f;
  SamplerOptions narrow = hot(7);
  narrow.top_n_sigma = 1e-3;
  const GenerateResult r = f.run({.n_predict = 12, .sampler = narrow, .ignore_eos = true});
  const GenerateResult greedy =
      f.run({.n_predict = 12, .sampler = {.temperature = 0}, .ignore_eos = true});
  CHECK(r.tokens == greedy.tokens);
}

TEST_CASE("generator: asked to stop", "[infer]") {
  Fixture f;
  f.stop_after = 1 + 5;  // once before the prompt, then before each token
  const GenerateResult r = f.run({.n_predict = 50, .sampler = hot(1)});
  CHECK(r.reason == FinishReason::interrupted);
  CHECK(r.tokens.size() == 5);
  CHECK(r.token_s.size() == 5);
  f.stop_after = 0;
  const GenerateResult none = f.run({.n_predict = 50, .sampler = hot(1)});
  CHECK(none.reason == FinishReason::interrupted);
  CHECK(none.tokens.empty());
  CHECK(none.n_prompt == static_cast<int>(f.prompt.size()));
}

TEST_CASE("generator: what the backend holds of the prompt is not computed again", "[infer]") {
  Fixture f;
  f.prompt = f.tokenizer->encode("hello, how are you?");
  const std::vector<int> want = f.run({.n_predict = 12, .sampler = hot(4)}).tokens;
  const int n_prompt = static_cast<int>(f.prompt.size());
  REQUIRE(n_prompt > 2);
  for (int n_held = 0; n_held < n_prompt; ++n_held) {
    f.backend->truncate(n_held);
    Generator generator(*f.backend, *f.tokenizer, f.prompt);
    REQUIRE(generator.prefill(512, [] { return false; }));
    const GenerateResult r = generator.run({.n_predict = 12, .sampler = hot(4)}, f.hooks());
    CHECK(r.tokens == want);
    CHECK(r.n_reused == n_held);
    CHECK(r.n_prompt == n_prompt);
  }
}

TEST_CASE("generator: the stop string and special tokens when they are asked for", "[infer]") {
  Fixture f;
  f.run({.n_predict = 40, .sampler = hot(3)});
  const std::string all = f.text;
  const auto letter = std::find_if(all.begin(), all.end(), [](char c) { return c > 0; });  // ASCII
  REQUIRE(letter != all.end());
  const std::string stop(1, *letter);
  f.run({.n_predict = 40, .sampler = hot(3), .stop = {stop}, .keep_stop = true});
  CHECK(f.text == std::string(all.begin(), letter + 1));
  CHECK(f.event_text == f.text);
  SamplerOptions ending{.temperature = 0};
  const int eos = f.tokenizer->vocabulary().end_of_generation()[0];
  ending.logit_bias = {{eos, 1000}};
  const GenerateResult r = f.run({.n_predict = 10, .sampler = ending, .special = true});
  CHECK(r.reason == FinishReason::eos);
  CHECK(r.tokens.empty());
  CHECK(f.text == f.tokenizer->vocabulary().text(eos));
}

TEST_CASE("generator: the context's end", "[infer]") {
  Fixture f;
  const GenerateResult r = f.run({.n_predict = -1, .sampler = hot(1), .ignore_eos = true});
  CHECK(r.reason == FinishReason::context);
  CHECK(static_cast<int>(r.tokens.size()) ==
        96 - r.n_prompt + 1);  // the last one is never evaluated
}

}  // namespace
}  // namespace haikuda::test
