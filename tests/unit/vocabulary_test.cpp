// Vocabularies read from metadata: what is refused, what is forgiven, what ends a generation.
#include <cmath>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/expect_error.h"
#include "support/random.h"
#include "text/tokenizer.h"
#include "unit/tokenizer_support.h"

namespace haikuda::test {
namespace {

using Ids = std::vector<int>;

}  // namespace

TEST_CASE("end of generation: ids of the file and tokens of known text", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  toy.add("<|eot_id|>");  // mistyped as normal
  toy.add("</s>");        // normal: a word of Qwen2's vocabulary
  toy.add("<end_of_turn>", TokenType::user_defined);
  toy.set("eos_token_id", std::uint64_t{'!'});
  toy.set("eom_token_id", std::uint64_t{'?'});
  const auto tokenizer = toy.build();
  const Vocabulary& v = tokenizer->vocabulary();
  const Ids want = {'!',
                    '?',
                    toy.id("<|endoftext|>"),
                    toy.id("<|im_end|>"),
                    toy.id("<|eot_id|>"),
                    toy.id("<end_of_turn>")};
  REQUIRE(Ids(v.end_of_generation().begin(), v.end_of_generation().end()) == want);
  REQUIRE(v.is_end_of_generation('?'));
  REQUIRE_FALSE(v.is_end_of_generation(toy.id("</s>")));
  REQUIRE(v.type(toy.id("<|eot_id|>")) == TokenType::control);
  REQUIRE(v.eos() == '!');
  REQUIRE_FALSE(v.bos());
}

TEST_CASE("padding: [PADn] at row n is unused whatever its type, elsewhere it is a token",
          "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  const std::string padding = "[PAD" + std::to_string(toy.tokens.size()) + "]";
  toy.add(padding, TokenType::user_defined);
  toy.add("[PAD7]", TokenType::user_defined);
  const auto tokenizer = toy.build();
  REQUIRE(tokenizer->vocabulary().type(toy.id(padding)) == TokenType::unused);
  REQUIRE(tokenizer->encode(padding, kParsed).size() == padding.size());
  REQUIRE(tokenizer->decode(toy.id(padding)) == "");
  REQUIRE(tokenizer->encode("[PAD7]", kPlain) == Ids{toy.id("[PAD7]")});
}

TEST_CASE("tokenizer: models and pre-tokenizers that are not supported are named", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  toy.model = "t5";
  require_refused(toy, ExitCode::unsupported, "tokenizer \"t5\" is not supported");
  require_refused(toy_bpe("kimi-k2"), ExitCode::unsupported,
                  "pre-tokenizer \"kimi-k2\" is not supported");
  require_refused(toy_bpe(""), ExitCode::model_file, "pre: missing");
}

TEST_CASE("tokenizer: wrong arrays and ids are refused by key", "[tokenizer]") {
  const auto refused = [](ToyVocabulary toy, auto change, const std::string& message) {
    change(toy);
    require_refused(toy, ExitCode::model_file, message);
  };
  using Toy = ToyVocabulary;
  refused(
      toy_bpe(), [](Toy& t) { t.tokens.clear(); }, "tokens: no tokens");
  refused(
      toy_bpe(),
      [](Toy& t) {
        t.tokens.push_back("ab\x1b"), t.tokens.push_back("ab\x1b");
        t.types.resize(t.tokens.size());
      },
      "tokens: token \"ab\\x1b\" is there twice, as ");
  refused(
      toy_bpe(), [](Toy& t) { t.types.pop_back(); }, "token_type: expected ");
  refused(
      toy_bpe(), [](Toy& t) { t.types[3] = 7; }, "token_type: element 3: expected 0 to 6, got 7");
  refused(
      toy_bpe(), [](Toy& t) { t.types[3] = -1; }, "token_type: element 3: expected 0 to 6, got -1");
  refused(
      toy_bpe(), [](Toy& t) { t.set("eos_token_id", t.tokens.size()); },
      "eos_token_id: expected 0 to ");
  refused(
      toy_bpe(), [](Toy& t) { t.set("add_eos_token", true); },
      "tokenizer.ggml.eos_token_id is missing");
  refused(
      toy_spm(), [](Toy& t) { t.scores.pop_back(); }, "scores: expected ");
  refused(
      toy_spm(), [](Toy& t) { t.scores[4] = std::nan(""); }, "scores: element 4 is not a number");
  for (const char* bad : {"<0x-1>", "<0xZZ>", "<0x1>", "<0x111>", "0x11", "<0x+1>", "<0x 1>"})
    refused(
        toy_spm(), [&](Toy& t) { t.tokens[3] = bad; },
        std::string("tokens: byte token 3 is \"") + bad + "\"");
}

TEST_CASE("tokenizer: random damage is an Error or leaves a tokenizer that works", "[tokenizer]") {
  Random random(9);
  const auto index = [&](const auto& v) {
    return static_cast<std::size_t>(random.integer(0, static_cast<int>(v.size()) - 1));
  };
  int n_built = 0;
  for (int n = 0; n < 300; ++n) {
    ToyVocabulary toy = n % 2 == 0 ? toy_bpe("llama-bpe") : toy_spm();
    toy.set("bos_token_id", random.bits() % 300);
    for (int i = random.integer(0, 20); i > 0; --i)
      toy.types[index(toy.types)] = random.integer(0, 6);
    for (int i = random.integer(0, 5); i > 0; --i)
      toy.tokens[index(toy.tokens)] = random_text(random, 2) + "\xf1";
    for (int i = random.integer(0, 5); i > 0 && n % 2 == 0; --i)
      toy.merges[index(toy.merges)].resize(random.bits() % 9, ' ');
    try {
      const auto tokenizer = toy.build();
      ++n_built;
      for (int i = 0; i < 5; ++i) {
        const Ids ids = tokenizer->encode(random_text(random, 50) + "abcde hello\xe2",
                                          {.add_special = true, .parse_special = i % 2 == 0});
        for (const int id : ids) REQUIRE((id >= 0 && id < tokenizer->vocabulary().size()));
        tokenizer->decode(ids, i % 3 == 0);
      }
    } catch (const Error& error) {
      REQUIRE(error.code() == ExitCode::model_file);
    }
  }
  REQUIRE(n_built > 50);
}

TEST_CASE("vocabulary: finds what is there, of any size", "[tokenizer]") {
  ToyVocabulary toy{.model = "gpt2", .pre = "gpt-2"};
  for (int n = 0; n < 20; ++n) {
    toy.add("t" + std::to_string(n));
    const Vocabulary vocabulary(toy.metadata());
    for (int id = 0; id <= n; ++id) REQUIRE(vocabulary.find("t" + std::to_string(id)) == id);
    for (int i = n + 1; i < 100; ++i) REQUIRE_FALSE(vocabulary.find("t" + std::to_string(i)));
  }
}

TEST_CASE("tokenizer: empty tokens are unused", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  toy.add("");
  toy.add("");
  const auto tokenizer = toy.build();
  REQUIRE(tokenizer->vocabulary().type(static_cast<int>(toy.tokens.size()) - 1) ==
          TokenType::unused);
  REQUIRE_FALSE(tokenizer->vocabulary().find(""));
  REQUIRE(tokenizer->decode(static_cast<int>(toy.tokens.size()) - 1) == "");
}

TEST_CASE("tokenizer: decomposed accents stay as they are", "[tokenizer]") {
  const auto tokenizer = toy_bpe("qwen2").build();
  REQUIRE(tokenizer->encode("e\u0301", kPlain) != tokenizer->encode("\u00e9", kPlain));
  REQUIRE(tokenizer->decode(tokenizer->encode("e\u0301", kPlain)) == "e\u0301");
}

TEST_CASE("tokenizer: an id outside the vocabulary is an internal error", "[tokenizer]") {
  const auto tokenizer = toy_bpe().build();
  REQUIRE(error_of([&] { tokenizer->decode(-1); }).code() == ExitCode::internal);
  REQUIRE(error_of([&] { tokenizer->decode(tokenizer->vocabulary().size()); }).code() ==
          ExitCode::internal);
}

}  // namespace haikuda::test
