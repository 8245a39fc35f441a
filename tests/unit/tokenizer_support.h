// Vocabularies for tests of the tokenizer: small ones made here, and the real ones of
// shared/data/vocab.
#pragma once

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/utf8.h"
#include "gguf/model_files.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/random.h"
#include "text/tokenizer.h"

namespace haikuda::test {

// GPT-2's bytes_to_unicode, from its definition: printable bytes are themselves, the others U+0100
// on.
inline std::string gpt2_text(std::string_view bytes) {
  static const auto table = [] {
    std::array<std::string, 256> texts;
    char32_t next = 0x100;
    for (char32_t b = 0; b < 256; ++b)
      append_utf8(texts[b], (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad) ? b : next++);
    return texts;
  }();
  std::string out;
  for (const char c : bytes) out += table[static_cast<unsigned char>(c)];
  return out;
}

// The tokenizer.ggml.* keys of a file. Change a member, then build.
struct ToyVocabulary {
  std::string model, pre;
  std::vector<std::string> tokens{}, merges{};
  std::vector<std::int64_t> types{};
  std::vector<double> scores{};
  std::vector<std::pair<std::string, MetaValue>> extra{};

  void add(const std::string& text, TokenType type = TokenType::normal, double score = 0) {
    tokens.push_back(text);
    types.push_back(static_cast<std::int64_t>(type));
    scores.push_back(score);
  }
  void set(const std::string& key, std::uint64_t n) {
    extra.emplace_back("tokenizer.ggml." + key, MetaValue{MetaType::u32, {}, n});
  }
  void set(const std::string& key, bool b) {
    extra.emplace_back("tokenizer.ggml." + key, MetaValue{MetaType::boolean, {}, b});
  }
  int id(std::string_view text) const {
    for (std::size_t i = 0; i < tokens.size(); ++i)
      if (tokens[i] == text) return static_cast<int>(i);
    return -1;
  }

  Metadata metadata() const {
    const auto strings = [](const std::vector<std::string>& v) {
      StringArray a;
      for (const std::string& s : v) a.push_back(s);
      return MetaValue{MetaType::array, MetaType::string, a};
    };
    Metadata m("toy.gguf");
    m.insert("tokenizer.ggml.model", {MetaType::string, {}, model});
    if (!pre.empty()) m.insert("tokenizer.ggml.pre", {MetaType::string, {}, pre});
    m.insert("tokenizer.ggml.tokens", strings(tokens));
    m.insert("tokenizer.ggml.token_type", {MetaType::array, MetaType::i32, types});
    if (model == "llama")
      m.insert("tokenizer.ggml.scores", {MetaType::array, MetaType::f32, scores});
    if (model == "gpt2") m.insert("tokenizer.ggml.merges", strings(merges));
    for (const auto& [key, value] : extra) m.insert(key, value);
    return m;
  }
  std::unique_ptr<Tokenizer> build() const { return Tokenizer::create(metadata()); }
};

// All bytes, and 300 merges of random letters a to e, whose ranks are in no sensible order.
inline ToyVocabulary toy_bpe(const std::string& pre = "gpt-2") {
  ToyVocabulary toy{.model = "gpt2", .pre = pre};
  for (int b = 0; b < 256; ++b) toy.add(gpt2_text(std::string(1, static_cast<char>(b))));
  std::vector<std::string> words = {"a", "b", "c", "d", "e", gpt2_text(" ")};
  Random random(7);
  while (toy.merges.size() < 300) {
    const auto pick = [&] {
      return words[static_cast<std::size_t>(random.integer(0, static_cast<int>(words.size()) - 1))];
    };
    const std::string left = pick(), right = pick();
    if (left.size() + right.size() > 9) continue;
    if (toy.id(left + right) < 0) {
      toy.add(left + right);
      words.push_back(left + right);
    }
    const std::string merge = fmt::format("{} {}", left, right);
    if (std::find(toy.merges.begin(), toy.merges.end(), merge) == toy.merges.end())
      toy.merges.push_back(merge);
  }
  toy.add("<|endoftext|>", TokenType::control);
  toy.add("<|im_start|>", TokenType::control);
  toy.add("<|im_end|>", TokenType::control);
  toy.add("<tool>", TokenType::user_defined);
  toy.add("<tool>x", TokenType::user_defined);
  return toy;
}

// <unk> <s> </s>, all bytes, and a few pieces.
inline ToyVocabulary toy_spm() {
  ToyVocabulary toy{.model = "llama", .pre = "default"};
  toy.add("<unk>", TokenType::unknown);
  toy.add("<s>", TokenType::control);
  toy.add("</s>", TokenType::control);
  for (int b = 0; b < 256; ++b) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    toy.add(std::string("<0x") + digits[static_cast<std::size_t>(b / 16)] +
                digits[static_cast<std::size_t>(b % 16)] + ">",
            TokenType::byte);
  }
  double score = 0;
  for (const char* piece :
       {"he", "ll", "▁w", "or", "▁he", "llo", "▁hello", "▁wor", "▁▁", "ld", "▁world"})
    toy.add(piece, TokenType::normal, --score);
  for (const char* piece : {"▁", "h", "e", "l", "o", "w", "r", "d", "s", "<", ">", "é"})
    toy.add(piece, TokenType::normal, --score);
  toy.add("<sep>", TokenType::user_defined);
  return toy;
}

// Building `toy` throws an Error with this code and message that names a key.
inline void require_refused(const ToyVocabulary& toy, ExitCode code, const std::string& message) {
  CAPTURE(message);
  const Error error = error_of([&] { toy.build(); });
  CHECK(error.code() == code);
  CHECK_THAT(error.what(), contains_text("toy.gguf: key tokenizer.ggml."));
  CHECK_THAT(error.what(), contains_text(message));
}

// Valid UTF-8 from many scripts, with runs.
inline std::string random_text(Random& random, int n_chars) {
  struct Range {
    int first, last;
  };
  static constexpr Range kRanges[] = {
      {'a', 'z'},         {'a', 'z'},         {'A', 'Z'},         {'0', '9'},
      {' ', ' '},         {' ', ' '},         {'\t', '\r'},       {0, 0x7f},
      {0x80, 0x24f},      {0x300, 0x36f},     {0x370, 0x58f},     {0x590, 0x6ff},
      {0x900, 0xdff},     {0xe00, 0x10ff},    {0x2000, 0x206f},   {0x2070, 0x257f},
      {0x3000, 0x30ff},   {0x4e00, 0x9fff},   {0xac00, 0xd7a3},   {0xe000, 0xffff},
      {0x10000, 0x1ffff}, {0x1f300, 0x1f9ff}, {0x20000, 0x2ffff}, {0xe0000, 0x10ffff}};
  std::string out;
  while (n_chars > 0) {
    const Range range = kRanges[random.integer(0, static_cast<int>(std::size(kRanges)) - 1)];
    const int run = random.integer(1, 6);
    const bool same = random.integer(0, 9) == 0;
    char32_t c = static_cast<char32_t>(random.integer(range.first, range.last));
    for (int i = 0; i < run; ++i, --n_chars) {
      append_utf8(out, c);
      if (!same) c = static_cast<char32_t>(random.integer(range.first, range.last));
    }
  }
  return out;
}

constexpr EncodeOptions kPlain{.add_special = false, .parse_special = false};
constexpr EncodeOptions kParsed{.add_special = false, .parse_special = true};

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::filesystem::path vocabulary_dir() {
  if (const char* dir = std::getenv("HAIKUDA_VOCAB_DIR")) return dir;
  return std::filesystem::path(HAIKUDA_TEST_DIR) / "../../shared/data/vocab";
}
inline std::filesystem::path vocabulary_path(const std::string& name) {
  return vocabulary_dir() / ("ggml-vocab-" + name + ".gguf");
}

// The vocabulary of `name`; "gpt-2.smollm" is that of gpt-2 with the pre-tokenizer smollm.
inline Metadata read_vocabulary(const std::string& name) {
  const std::size_t dot = name.find('.');
  const Metadata file = open_model_files(vocabulary_path(name.substr(0, dot)).string()).metadata;
  Metadata m(name);
  for (const std::string& key : file.keys()) {
    MetaValue value = *file.find(key);
    if (key == "tokenizer.ggml.pre" && dot != std::string::npos) value.value = name.substr(dot + 1);
    m.insert(key, std::move(value));
  }
  return m;
}

}  // namespace haikuda::test
