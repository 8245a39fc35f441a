// The tokenizer with small vocabularies made here: merging, special tokens, and files that are
// wrong.
#include <map>
#include <string>
#include <vector>

#include "support/catch.h"
#include "support/random.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "unit/tokenizer_support.h"

namespace haikuda::test {
namespace {

using Ids = std::vector<int>;

constexpr EncodeOptions kAdded{.add_special = true, .parse_special = false};
constexpr EncodeOptions kAll{.add_special = true, .parse_special = true};

// The definition of BPE: merge the pair of the lowest rank, the leftmost of equals, until none is
// left.
Ids naive_bpe(const ToyVocabulary& toy, std::string_view word) {
  std::map<std::pair<std::string, std::string>, std::size_t> ranks;
  for (std::size_t i = 0; i < toy.merges.size(); ++i) {
    const std::size_t space = toy.merges[i].find(' ');
    ranks.emplace(std::pair(toy.merges[i].substr(0, space), toy.merges[i].substr(space + 1)), i);
  }
  std::vector<std::string> parts;
  for (const char c : word) parts.push_back(gpt2_text(std::string(1, c)));
  for (;;) {
    std::size_t best = parts.size(), best_rank = ranks.size();
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto it = ranks.find({parts[i], parts[i + 1]});
      if (it != ranks.end() && it->second < best_rank) best = i, best_rank = it->second;
    }
    if (best == parts.size()) break;
    parts[best] += parts[best + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) ids.push_back(toy.id(part));
  return ids;
}

}  // namespace

TEST_CASE("bpe: merges as the quadratic definition does", "[tokenizer]") {
  const ToyVocabulary toy = toy_bpe();
  const auto tokenizer = toy.build();
  Random random(1);
  for (int n = 0; n < 2000; ++n) {
    std::string word;
    for (int i = random.integer(1, n % 100 == 0 ? 150 : 30); i > 0; --i)
      word.push_back(static_cast<char>(random.integer('a', 'e')));
    if (n % 2 == 0) word.insert(0, " ");
    CAPTURE(word);
    REQUIRE(tokenizer->encode(word, kPlain) == naive_bpe(toy, word));
  }
}

TEST_CASE("bpe: decoding gives back any bytes", "[tokenizer]") {
  const auto tokenizer = toy_bpe(GENERATE("gpt-2", "qwen2", "smollm", "default")).build();
  Random random(2);
  for (int n = 0; n < 300; ++n) {
    std::string text = random_text(random, 30);
    if (n % 2 == 0)
      for (int i = 0; i < 5; ++i)
        text[static_cast<std::size_t>(random.integer(0, static_cast<int>(text.size()) - 1))] =
            static_cast<char>(random.byte());
    CAPTURE(text);
    REQUIRE(tokenizer->decode(tokenizer->encode(text, kPlain)) == text);
  }
}

TEST_CASE("bpe: bytes that are not UTF-8 become tokens of one byte", "[tokenizer]") {
  const ToyVocabulary toy = toy_bpe();
  const auto id = [&](char c) { return toy.id(gpt2_text(std::string(1, c))); };
  REQUIRE(toy.build()->encode("\xe2\x82\xff", kPlain) == Ids{id('\xe2'), id('\x82'), id('\xff')});
}

TEST_CASE("bpe: a byte without a token is dropped", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  toy.tokens[1] = "no byte";
  REQUIRE(toy.build()->decode(toy.build()->encode("x\1y", kPlain)) == "xy");
}

TEST_CASE("bpe: llama-bpe takes a word that is a token whole, the others merge it", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe("qwen2");
  toy.add("zzz");
  toy.add("qqq", TokenType::control);
  const Ids merged = toy.build()->encode("zzz", kPlain);
  REQUIRE(merged == Ids{'z', 'z', 'z'});
  toy.pre = "llama-bpe";
  toy.set("bos_token_id", std::uint64_t{0});
  REQUIRE(toy.build()->encode("zzz", kPlain) == Ids{toy.id("zzz")});
  REQUIRE(toy.build()->encode("qqq", kPlain) ==
          Ids{'q', 'q', 'q'});  // a control token needs parse_special
}

TEST_CASE("bpe: merges that cannot be used are left out", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  const Ids ids = toy.build()->encode("abcde edcba", kPlain);
  for (const char* bad : {"", " ", "ab", "a ", "nosuch a", "a nosuch", "x y", "\xff \xfe", "a  b"})
    toy.merges.insert(toy.merges.begin(), bad);
  REQUIRE(toy.build()->encode("abcde edcba", kPlain) == ids);
  toy.merges = {"no such", "merges here"};
  require_refused(toy, ExitCode::model_file, "no merge joins two tokens");
}

TEST_CASE("pre-tokenizer: expressions cut where their models do", "[tokenizer]") {
  using Words = std::vector<std::string_view>;
  const auto split = [](const std::string& pre, std::string_view text, bool jit) {
    Words words;
    Pretokenizer(pretokenizer_spec(toy_bpe(pre).metadata()), jit).split(text, words);
    return words;
  };
  const bool jit = GENERATE(true, false);
  CAPTURE(jit);
  REQUIRE(split("gpt-2", "I'm  12ab'S\n\n!", jit) ==
          Words{"I", "'m", " ", " 12", "ab", "'", "S", "\n", "\n", "!"});
  REQUIRE(split("qwen2", "I'M  12ab!\n\n x", jit) ==
          Words{"I", "'M", " ", " ", "1", "2", "ab", "!\n\n", " x"});
  REQUIRE(split("llama-bpe", "1234 5\r\n", jit) == Words{"123", "4", " ", "5", "\r\n"});
  REQUIRE(split("smollm", "a  12 3", jit) == Words{"a", "  ", "1", "2", " ", "3"});
  REQUIRE(split("default", "a+=1234 b", jit) == Words{"a", "+=", "123", "4", " b"});
  REQUIRE(split("qwen2", "'ſ\u180e\u3000x", jit) == Words{"'ſ", "\u180e", "\u3000x"});
}

TEST_CASE("pre-tokenizer: long runs take linear time, with and without JIT", "[tokenizer]") {
  const bool jit = GENERATE(true, false);
  const std::string pre = GENERATE("gpt-2", "qwen2", "llama-bpe", "smollm", "default");
  const Pretokenizer pretokenizer(pretokenizer_spec(toy_bpe(pre).metadata()), jit);
  for (const std::string unit : {"A", " ", "\n", "7", "\u0301", "=", "\r\n ", " \n"}) {
    CAPTURE(jit, pre, unit);
    std::string text;
    while (text.size() < 1'000'000) text += unit;
    std::vector<std::string_view> words;
    for (const char* end : {"", "x"}) {
      words.clear();
      text += end;
      pretokenizer.split(text, words);
      std::size_t bytes = 0;
      for (const std::string_view word : words) bytes += word.size();
      REQUIRE(bytes == text.size());
    }
  }
}

TEST_CASE("special tokens: control only where asked for, user-defined always, the longest first",
          "[tokenizer]") {
  const ToyVocabulary toy = toy_bpe();
  const auto tokenizer = toy.build();
  const int start = toy.id("<|im_start|>"), tool = toy.id("<tool>"), toolx = toy.id("<tool>x");
  REQUIRE(tokenizer->encode("<|im_start|>", kPlain).size() > 1);
  REQUIRE(tokenizer->encode("<|im_start|>", kParsed) == Ids{start});
  REQUIRE(tokenizer->encode("<|im_start|><|im_start|>f<tool>", kParsed) ==
          Ids{start, start, 'f', tool});
  REQUIRE(tokenizer->encode("<tool>x<tool>y", kPlain) == Ids{toolx, tool, 'y'});
  REQUIRE(tokenizer->encode("<<tool", kParsed) == Ids{'<', '<', 't', 'o', 'o', 'l'});
  const std::string text = "a<|im_start|>b<tool>c<|im_end|>";
  const Ids ids = tokenizer->encode(text, kParsed);
  REQUIRE(tokenizer->decode(ids, true) == text);
  REQUIRE(tokenizer->decode(ids) == "ab<tool>c");
  REQUIRE(tokenizer->decode(start) == "");
  REQUIRE(tokenizer->decode(start, true) == "<|im_start|>");
}

TEST_CASE("special tokens: finding them in a long text is fast", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  for (int i = 0; i < 3000; ++i)
    toy.add("<|reserved_" + std::to_string(i) + "|>", TokenType::control);
  std::string text;
  while (text.size() < 1'000'000) text += "<|reserved_<|";
  REQUIRE(toy.build()->encode(text, kParsed).size() == text.size());
}

TEST_CASE("bos and eos: added as the file says, and not twice", "[tokenizer]") {
  ToyVocabulary toy = toy_bpe();
  const int bos = toy.id("<|im_start|>"), eos = toy.id("<|endoftext|>");
  toy.set("bos_token_id", static_cast<std::uint64_t>(bos));
  toy.set("eos_token_id", static_cast<std::uint64_t>(eos));
  REQUIRE(toy.build()->encode("f", kAdded) == Ids{'f'});
  toy.set("add_bos_token", true);
  toy.set("add_eos_token", true);
  const auto tokenizer = toy.build();
  REQUIRE(tokenizer->encode("f", kAdded) == Ids{bos, 'f', eos});
  REQUIRE(tokenizer->encode("", kAdded) == Ids{bos, eos});
  REQUIRE(tokenizer->encode("f", kPlain) == Ids{'f'});
  REQUIRE(tokenizer->encode("<|im_start|>f<|endoftext|>", kAll) == Ids{bos, 'f', eos});
  REQUIRE(tokenizer->encode("<|im_start|>f", kAdded).front() == bos);
  REQUIRE(tokenizer->encode("<|im_start|>f", kAdded)[1] == '<');
}

TEST_CASE("bos: its default is that of the tokenizer", "[tokenizer]") {
  ToyVocabulary llama3 = toy_bpe("llama-bpe");
  require_refused(llama3, ExitCode::model_file,
                  "add_bos_token: true, but tokenizer.ggml.bos_token_id is missing");
  llama3.set("bos_token_id", std::uint64_t{5});
  REQUIRE(llama3.build()->encode("f", kAdded) == Ids{5, 'f'});
  llama3.set("add_bos_token", false);
  REQUIRE(llama3.build()->encode("f", kAdded) == Ids{'f'});
  REQUIRE(toy_spm().build()->encode("", kAdded) == Ids{1});
}

TEST_CASE("spm: merges by score, falls back to bytes, writes the space prefix", "[tokenizer]") {
  ToyVocabulary toy = toy_spm();
  const auto tokenizer = toy.build();
  const auto id = [&](std::string_view text) { return toy.id(text); };
  REQUIRE(tokenizer->encode("hello world", kPlain) == Ids{id("▁hello"), id("▁world")});
  REQUIRE(tokenizer->encode("hello", kAdded) == Ids{1, id("▁hello")});
  REQUIRE(tokenizer->encode("", kPlain).empty());
  REQUIRE(tokenizer->encode(" ", kPlain) == Ids{id("▁▁")});
  REQUIRE(tokenizer->encode("éö", kPlain) == Ids{id("▁"), id("é"), id("<0xC3>"), id("<0xB6>")});
  REQUIRE(tokenizer->encode("\xff", kPlain) == Ids{id("▁"), id("<0xFF>")});
  REQUIRE(tokenizer->encode("<s>", kPlain) == Ids{id("▁"), id("<"), id("s"), id(">")});
  REQUIRE(tokenizer->encode("<s>d", kParsed) == Ids{1, id("▁"), id("d")});
  REQUIRE(tokenizer->encode("d<sep>d", kPlain) ==
          Ids{id("▁"), id("d"), id("<sep>"), id("▁"), id("d")});
  REQUIRE(tokenizer->encode("<0x41>", kPlain) != Ids{id("▁"), id("<0x41>")});
  toy.set("add_space_prefix", false);
  REQUIRE(toy.build()->encode("hello", kPlain) == Ids{id("he"), id("llo")});
}

TEST_CASE("spm: decoding drops the space prefix and nothing else", "[tokenizer]") {
  ToyVocabulary toy = toy_spm();
  if (GENERATE(false, true)) toy.set("add_space_prefix", false);
  const auto tokenizer = toy.build();
  for (const std::string text :
       {"hello", " hello", "  hello", "", " ", "hello<sep>world", "hello<sep> world", "é\xff"})
    REQUIRE(tokenizer->decode(tokenizer->encode(text, kPlain)) == text);
  for (const std::string text : {"<s>hello</s> world", " <s> hello"})
    REQUIRE(tokenizer->decode(tokenizer->encode(text, kParsed), true) == text);
  Random random(3);
  for (int n = 0; n < 300; ++n) {
    const std::string text = random_text(random, 30);
    REQUIRE(tokenizer->decode(tokenizer->encode(text, kPlain)) == text);
  }
  REQUIRE(tokenizer->decode(toy.id("▁hello")) == " hello");
}

TEST_CASE("spm: without byte tokens a character that is no piece is unknown", "[tokenizer]") {
  ToyVocabulary toy = toy_spm();
  for (auto& type : toy.types)
    if (type == static_cast<int>(TokenType::byte)) type = static_cast<int>(TokenType::unused);
  REQUIRE(toy.build()->encode("dö", kPlain) == Ids{toy.id("▁"), toy.id("d"), 0});
}

}  // namespace haikuda::test
