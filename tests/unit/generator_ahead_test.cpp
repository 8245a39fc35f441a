// The generation loop over a backend that samples by itself and computes ahead: nothing that the
// caller sees differs from the loop that samples on the host.
#include <algorithm>
#include <limits>
#include <stdexcept>

#include "cpu/cpu_backend.h"
#include "infer/common_chain.h"
#include "infer/generator.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

// A CPU backend that keeps the promises of Backend::start_sampling, and checks that its caller
// does.
class AheadBackend : public Backend {
 public:
  explicit AheadBackend(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  void append(std::span<const int> tokens) override {
    REQUIRE(!is_sampling());
    if (kept_position_ > inner_->position()) kept_position_ = -1;
    inner_->append(tokens);
    has_logits_ = true;
  }
  std::span<const float> logits() override {
    REQUIRE(!is_sampling());
    if (!has_logits_) REQUIRE(kept_position_ == position());
    return has_logits_ ? inner_->logits() : std::span<const float>(kept_);
  }
  int argmax() override {
    REQUIRE((!is_sampling() && has_logits_));
    return inner_->argmax();
  }
  int position() const override {
    return is_sampling() ? start_ + std::max(n_handed - 1, 0) : inner_->position();
  }
  int n_ctx() const override { return inner_->n_ctx(); }
  void truncate(int n_tokens) override {
    REQUIRE(!is_sampling());
    inner_->truncate(n_tokens);
    has_logits_ = false;
  }
  CachedKv cached_kv(int layer) override { return inner_->cached_kv(layer); }
  std::string device_name() const override { return "ahead"; }
  std::size_t device_bytes() const override { return 0; }

  bool can_sample(const SamplerOptions& options) const override {
    return common_chain(options, static_cast<int>(inner_n_vocab_)).has_value();
  }
  void start_sampling(const SamplerOptions& options,
                      std::span<const int> history,
                      int n_most) override {
    REQUIRE(!is_sampling());
    REQUIRE(n_most >= 1);
    REQUIRE(static_cast<int>(history.size()) == position());
    const auto first = logits();
    kept_.assign(first.begin(), first.end());
    kept_position_ = start_ = position();
    history_.assign(history.begin(), history.end());
    sampler_.emplace(options);
    n_most_ = std::min(n_most, n_ctx() - start_ + 1);
    n_handed = n_computed = 0;
    ++n_starts;
  }
  int next_token() override {
    REQUIRE(is_sampling());
    REQUIRE(n_handed < n_most_);
    constexpr int kAhead = 3;
    while (n_computed < std::min(n_handed + 1 + kAhead, n_most_)) compute();
    const int at = start_ + n_handed++;
    return history_[static_cast<std::size_t>(at)];
  }
  void stop_sampling() override {
    REQUIRE(is_sampling());
    const int n = position();
    sampler_.reset();
    inner_->truncate(n);
    has_logits_ = false;
  }
  bool is_sampling() const { return sampler_.has_value(); }

  int n_starts = 0, n_handed = 0, n_computed = 0;
  std::size_t inner_n_vocab_ = 0;

 private:
  void compute() {
    if (n_computed > 0) inner_->append({&history_.back(), 1});
    history_.push_back(sampler_->sample(
        n_computed == 0 ? std::span<const float>(kept_) : inner_->logits(), history_));
    ++n_computed;
  }

  std::unique_ptr<Backend> inner_;
  std::optional<Sampler> sampler_;
  std::vector<int> history_;
  std::vector<float> kept_;
  int kept_position_ = -1, start_ = 0, n_most_ = 0;
  bool has_logits_ = false;
};

// What a caller sees of one text, in order.
struct Seen {
  GenerateResult result;
  std::vector<std::string> log;
};

constexpr int kContext = 96;

struct Fixture {
  Fixture()
      : bytes(make_tiny_model({.n_embd = 64, .n_ff = 96})),
        model(open_model_bytes(bytes, "tiny")),
        tokenizer(Tokenizer::create(model.files.metadata)),
        plain(make_cpu_backend(model, {.n_ctx = kContext, .n_threads = 1})),
        ahead(make_cpu_backend(model, {.n_ctx = kContext, .n_threads = 1})),
        prompt(tokenizer->encode("hello")) {
    ahead.inner_n_vocab_ = static_cast<std::size_t>(model.config.n_vocab);
  }

  Seen run(Backend& backend, const GenerateOptions& options, int stop_after = -1) {
    Generator generator(backend, *tokenizer, prompt);
    REQUIRE(generator.prefill(100, [] { return false; }));
    return run(generator, options, stop_after);
  }
  // stop_after: questions until it asks for the end.
  Seen run(Generator& generator, const GenerateOptions& options, int stop_after = -1) {
    Seen seen;
    seen.result = generator.run(
        options,
        {.on_text = [&](std::string_view t) { seen.log.push_back("text " + std::string(t)); },
         .should_stop =
             [&] {
               seen.log.push_back("stop?");
               return stop_after >= 0 && stop_after-- == 0;
             },
         .on_token =
             [&](const TokenEvent& e) {
               seen.log.push_back("token " + std::to_string(e.index) + ' ' + std::to_string(e.id) +
                                  ' ' + std::string(e.text));
             }});
    return seen;
  }
  // Runs both ways; returns what the two have in common.
  Seen check(const GenerateOptions& options, int stop_after = -1) {
    plain->truncate(0);
    if (ahead.position() > 0) ahead.truncate(0);
    const int n_starts = ahead.n_starts;
    const Seen want = run(*plain, options, stop_after);
    Seen got = run(ahead, options, stop_after);
    CHECK(got.log == want.log);
    CHECK(got.result.tokens == want.result.tokens);
    CHECK(got.result.reason == want.result.reason);
    CHECK(got.result.stop == want.result.stop);
    CHECK(got.result.n_prompt == want.result.n_prompt);
    CHECK(got.result.n_decoded == want.result.n_decoded);
    CHECK(got.result.token_s.size() == want.result.token_s.size());
    CHECK(std::is_sorted(got.result.token_s.begin(), got.result.token_s.end()));
    CHECK(got.result.prefill_s > 0);
    CHECK(!ahead.is_sampling());
    if (ahead.n_starts > n_starts) {
      CHECK(ahead.position() == n_prompt() + std::max(ahead.n_handed - 1, 0));
      CHECK(ahead.n_computed <= ahead.n_handed + 3);
    }
    return got;
  }
  int n_prompt() const { return static_cast<int>(prompt.size()); }

  std::vector<std::byte> bytes;
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::unique_ptr<Backend> plain;
  AheadBackend ahead;
  std::vector<int> prompt;
};

SamplerOptions hot(std::uint64_t seed) {
  return {.temperature = 3, .seed = seed};
}

std::string text_of(const Seen& seen) {
  std::string out;
  for (const std::string& entry : seen.log)
    if (entry.starts_with("text ")) out += entry.substr(5);
  return out;
}

TEST_CASE("generator ahead: the same text for any options of the common chain", "[infer]") {
  Fixture f;
  for (std::uint64_t seed = 1; seed < 4; ++seed) {
    f.check({.n_predict = 30, .sampler = {.seed = seed}});
    f.check({.n_predict = 30, .sampler = hot(seed), .ignore_eos = true});
    SamplerOptions o = hot(seed);
    o.repeat_penalty = 1.3, o.frequency_penalty = 0.4, o.repeat_last_n = 8;
    o.logit_bias = {{5, -std::numeric_limits<double>::infinity()}, {7, 2}};
    f.check({.n_predict = 30, .sampler = o});
  }
  f.check({.n_predict = 30, .sampler = {.temperature = 0}});
  CHECK(f.ahead.n_starts == 10);
}

TEST_CASE("generator ahead: a stop string ends the text, what was computed ahead is dropped",
          "[infer]") {
  Fixture f;
  const std::string all = text_of(f.check({.n_predict = 40, .sampler = hot(3)}));
  REQUIRE(all.size() > 12);
  for (std::size_t at = 0; at + 4 < all.size(); at += 3) {
    if ((static_cast<unsigned char>(all[at]) & 0xc0) == 0x80 ||
        (static_cast<unsigned char>(all[at + 4]) & 0xc0) == 0x80)
      continue;
    const std::string stop = all.substr(at, 4);
    const Seen seen = f.check({.n_predict = 40, .sampler = hot(3), .stop = {stop}});
    CAPTURE(stop);
    REQUIRE(seen.result.reason == FinishReason::stop);
  }
}

TEST_CASE("generator ahead: the end-of-generation token", "[infer]") {
  Fixture f;
  // Likely enough to come, not at once.
  SamplerOptions ending = hot(2);
  const int eos = f.tokenizer->vocabulary().end_of_generation()[0];
  bool was_late = false;
  for (int bias = 2; bias < 12; ++bias) {
    ending.logit_bias = {{eos, static_cast<double>(bias)}};
    const Seen seen = f.check({.n_predict = 60, .sampler = ending});
    was_late =
        was_late || (seen.result.reason == FinishReason::eos && seen.result.tokens.size() > 2);
    f.check({.n_predict = 20, .sampler = ending, .ignore_eos = true});
  }
  CHECK(was_late);
  ending.logit_bias = {{eos, 1000}};
  CHECK(f.check({.n_predict = 5, .sampler = ending}).result.tokens.empty());
}

TEST_CASE("generator ahead: as many tokens as asked for, and none computed beyond", "[infer]") {
  Fixture f;
  for (const int n : {0, 1, 2, 3, 4, 17}) {
    CAPTURE(n);
    const Seen seen = f.check({.n_predict = n, .sampler = hot(1), .ignore_eos = true});
    CHECK(seen.result.reason == FinishReason::length);
    CHECK(static_cast<int>(seen.result.tokens.size()) == n);
    if (n > 0) CHECK(f.ahead.n_computed == n);
  }
}

TEST_CASE("generator ahead: the context's end", "[infer]") {
  Fixture f;
  const Seen seen = f.check({.n_predict = -1, .sampler = hot(1), .ignore_eos = true});
  CHECK(seen.result.reason == FinishReason::context);
  CHECK(f.ahead.n_computed == kContext - f.n_prompt() + 1);
  CHECK(f.ahead.position() == kContext);
}

TEST_CASE("generator ahead: asked to stop", "[infer]") {
  Fixture f;
  for (const int n : {0, 1, 5}) {
    const Seen seen = f.check({.n_predict = 50, .sampler = hot(1)}, n);
    CHECK(seen.result.reason == FinishReason::interrupted);
    CHECK(static_cast<int>(seen.result.tokens.size()) == n);
  }
}

TEST_CASE("generator ahead: several samples of one prompt", "[infer]") {
  Fixture f;
  Generator plain(*f.plain, *f.tokenizer, f.prompt), ahead(f.ahead, *f.tokenizer, f.prompt);
  REQUIRE(plain.prefill(2, [] { return false; }));
  REQUIRE(ahead.prefill(2, [] { return false; }));
  for (std::uint64_t seed = 1; seed < 6; ++seed) {
    GenerateOptions options{.n_predict = 20, .sampler = hot(seed)};
    if (seed == 3) options.n_logprobs = 2;           // needs the logits on the host
    if (seed == 4) options.sampler.typical_p = 0.5;  // no part of the common chain
    const Seen want = f.run(plain, options), got = f.run(ahead, options);
    CHECK(got.log == want.log);
    CHECK(got.result.tokens == want.result.tokens);
    REQUIRE(got.result.logprobs.size() == want.result.logprobs.size());
    for (std::size_t i = 0; i < got.result.logprobs.size(); ++i)
      CHECK(got.result.logprobs[i].chosen.logprob == want.result.logprobs[i].chosen.logprob);
  }
  CHECK(f.ahead.n_starts == 3);
}

TEST_CASE("generator ahead: a failing hook leaves a backend that can go on", "[infer]") {
  Fixture f;
  Generator generator(f.ahead, *f.tokenizer, f.prompt);
  REQUIRE(generator.prefill(2, [] { return false; }));
  const GenerateOptions options{.n_predict = 20, .sampler = hot(1)};
  CHECK_THROWS_AS(
      generator.run(options, {.on_text = [](std::string_view) { throw std::runtime_error("full"); },
                              .should_stop = [] { return false; }}),
      std::runtime_error);
  CHECK(!f.ahead.is_sampling());
  CHECK(f.run(generator, options).result.tokens == f.run(*f.plain, options).result.tokens);
}

TEST_CASE("generator ahead: bad sampler options are refused before anything starts", "[infer]") {
  Fixture f;
  Generator generator(f.ahead, *f.tokenizer, f.prompt);
  REQUIRE(generator.prefill(2, [] { return false; }));
  CHECK(error_of([&] { f.run(generator, {.n_predict = 3, .sampler = {.top_p = 2}}); }).code() ==
        ExitCode::usage);
  CHECK(f.ahead.n_starts == 0);
}

// The chain by itself: what is common and what is not.
TEST_CASE("common chain: what a device can do by itself", "[sampler]") {
  const double inf = std::numeric_limits<double>::infinity();
  const auto chain = common_chain({.seed = 9}, 32000);
  REQUIRE(chain);
  CHECK((chain->seed == 9 && chain->top_k == 40 && chain->top_p == 0.95 && chain->has_min_p));
  CHECK((chain->temperature == 0.8 && chain->last_n == 0 && !chain->has_bias));
  CHECK(common_chain({.temperature = 0}, 100)->top_k == 1);
  CHECK(common_chain({.temperature = 1e-11}, 100)->top_k == 1);
  CHECK(common_chain({.top_k = 0}, 100)->top_k == 100);
  CHECK(common_chain({.top_k = 40}, 7)->top_k == 7);
  CHECK(common_chain({.top_k = 0, .logit_bias = {{1, -inf}, {1, -inf}, {2, 3}}}, 10)->top_k == 9);
  CHECK(!common_chain({.logit_bias = {{0, -inf}}}, 1));
  CHECK(!common_chain({.dynatemp_range = 0.5}, 100));
  CHECK(!common_chain({.typical_p = 0.5}, 100));
  CHECK(!common_chain({.top_n_sigma = 1}, 100));
  CHECK(!common_chain({.xtc_probability = 0.5}, 100));
  CHECK(!common_chain({.dry_multiplier = 0.5}, 100));
  CHECK(!common_chain({.mirostat = 2}, 100));
  SamplerOptions other;
  other.samplers = parse_samplers("temperature;top_k");
  CHECK(!common_chain(other, 100));
  other.samplers = parse_samplers("penalties;min_p");
  const auto without = common_chain(other, 100);
  REQUIRE(without);
  CHECK((without->top_k == 100 && without->top_p == 1 && without->temperature == 1));
  CHECK(without->last_n == 0);
  other.repeat_penalty = 1.1;
  CHECK(common_chain(other, 100)->last_n == 64);
}

}  // namespace
}  // namespace haikuda::test
