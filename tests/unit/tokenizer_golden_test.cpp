// The tokenizer with real vocabularies: llama.cpp's test vectors, token ids by independent software
// (tests/golden/tokenizer), and properties. Skipped where shared/data/vocab is missing.
#include <charconv>
#include <ctime>
#include <functional>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/utf8.h"
#include "support/catch.h"
#include "support/random.h"
#include "text/detokenizer.h"
#include "unit/tokenizer_support.h"

namespace haikuda::test {
namespace {

using Ids = std::vector<int>;

bool is_missing() {
  return !std::filesystem::exists(vocabulary_path("qwen2"));
}
std::string why_missing() {
  return "no " + vocabulary_dir().string() + "; set HAIKUDA_VOCAB_DIR";
}

std::filesystem::path golden_path(const std::string& name) {
  return std::filesystem::path(HAIKUDA_TEST_DIR) / "golden/tokenizer" / name;
}

Ids parse_ids(const std::string& line) {
  std::istringstream in(line);
  Ids ids;
  for (int id; in >> id;) ids.push_back(id);
  return ids;
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::istringstream in(read_file(path));
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  REQUIRE_FALSE(lines.empty());
  return lines;
}

std::uint32_t parse_hex(std::string_view digits) {
  std::uint32_t n = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), n, 16);
  return n;
}

// Undoes escape() of scripts/make_tokenizer_goldens.py: \u{hex}.
std::string unescape(std::string_view line) {
  std::string out;
  while (!line.empty()) {
    const std::size_t at = line.find("\\u{");
    out += line.substr(0, at);
    if (at == std::string_view::npos) break;
    const std::size_t end = line.find('}', at);
    append_utf8(out, parse_hex(line.substr(at + 3, end - at - 3)));
    line.remove_prefix(end + 1);
  }
  return out;
}

struct Range {
  std::uint32_t first, last;
};

// code_point_text() and hash_blocks() of scripts/make_tokenizer_goldens.py.
std::uint64_t hash_block(const Tokenizer& tokenizer,
                         const std::vector<Range>& ranges,
                         std::uint32_t block) {
  constexpr std::uint32_t kBlock = 4096;
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&](std::uint32_t n) { hash = (hash ^ n) * 0x100000001b3u; };
  for (const Range range : ranges) {
    const std::uint32_t first = std::max(range.first, block * kBlock);
    const std::uint32_t last = std::min(range.last, block * kBlock + kBlock - 1);
    for (std::uint32_t code_point = first; code_point <= last; ++code_point) {
      std::string c;
      append_utf8(c, code_point);
      const std::string text = fmt::format("{0} a{0}b 1{0}23 '{0}\n \n{0}{0}\t", c);
      for (const int id : tokenizer.encode(text, kPlain)) add(static_cast<std::uint32_t>(id));
      add(~std::uint32_t{0});
    }
  }
  return hash;
}

// Of the processor, so that whatever else the machine does is not counted.
double seconds_of(const std::function<void()>& call) {
  const std::clock_t start = std::clock();
  call();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

}  // namespace

TEST_CASE("vocabularies: llama.cpp's vectors", "[tokenizer][vocab]") {
  if (is_missing()) HAIKUDA_SKIP(why_missing());
  const std::string name = GENERATE("gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2");
  const auto tokenizer = Tokenizer::create(read_vocabulary(name));
  const std::string path = vocabulary_path(name).string();
  const std::string inputs = read_file(path + ".inp"), separator = "\n__ggml_vocab_test__\n";
  const std::vector<std::string> outputs = read_lines(path + ".out");
  std::size_t begin = 0, n_cases = 0;
  for (std::size_t end; (end = inputs.find(separator, begin)) != std::string::npos;
       begin = end + separator.size()) {
    const std::string text = inputs.substr(begin, end - begin);
    CAPTURE(name, text);
    REQUIRE(n_cases < outputs.size());
    CHECK(tokenizer->encode(text, kPlain) == parse_ids(outputs[n_cases++]));
  }
  REQUIRE(n_cases == outputs.size());
  REQUIRE(n_cases >= 46);
}

TEST_CASE("vocabularies: the ids of Hugging Face tokenizers and sentencepiece",
          "[tokenizer][vocab]") {
  if (is_missing()) HAIKUDA_SKIP(why_missing());
  const std::string name = GENERATE("qwen2", "llama-bpe", "gpt-2", "gpt-2.smollm", "gpt-2.default",
                                    "llama-spm", "phi-3");
  const auto tokenizer = Tokenizer::create(read_vocabulary(name));
  const std::vector<std::string> texts = read_lines(golden_path("texts.txt"));
  const std::vector<std::string> want = read_lines(golden_path(name + ".ids"));
  REQUIRE(texts.size() == want.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(name, i, texts[i]);
    CHECK(tokenizer->encode(unescape(texts[i]), kPlain) == parse_ids(want[i]));
  }
}

TEST_CASE("vocabularies: every assigned code point as Hugging Face and sentencepiece",
          "[tokenizer][vocab]") {
  if (is_missing()) HAIKUDA_SKIP(why_missing());
  std::vector<Range> ranges;
  std::string loaded;
  std::unique_ptr<Tokenizer> tokenizer;
  for (const std::string& line : read_lines(golden_path("code_points.txt"))) {
    std::istringstream in(line);
    std::string kind, name, number, hash;
    in >> kind >> name >> number >> hash;
    if (kind == "range") {
      ranges.push_back({parse_hex(name), parse_hex(number)});
      continue;
    }
    if (name != loaded) tokenizer = Tokenizer::create(read_vocabulary(loaded = name));
    std::ostringstream got;
    got << std::hex << std::setw(16) << std::setfill('0')
        << hash_block(*tokenizer, ranges, parse_hex(number));
    CAPTURE(name, number);
    CHECK(got.str() == hash);
  }
}

TEST_CASE("vocabularies: detokenizing gives back the text, at once and streamed",
          "[tokenizer][vocab]") {
  if (is_missing()) HAIKUDA_SKIP(why_missing());
  const std::string name = GENERATE("qwen2", "llama-bpe", "gpt-2", "gpt-2.smollm", "gpt-2.default",
                                    "llama-spm", "phi-3");
  const auto tokenizer = Tokenizer::create(read_vocabulary(name));
  Random random(21);
  for (int n = 0; n < 300; ++n) {
    const std::string text = random_text(random, 40);
    CAPTURE(name, text);
    const Ids ids = tokenizer->encode(text, kPlain);
    REQUIRE(tokenizer->decode(ids) == text);
    Detokenizer detokenizer(*tokenizer, true);
    std::string streamed;
    for (const int id : ids) {
      const std::string piece = detokenizer.push(id);
      REQUIRE_FALSE(find_invalid_utf8(piece));
      streamed += piece;
    }
    REQUIRE(streamed + detokenizer.flush() == text);
  }
}

TEST_CASE("vocabularies: every token decodes, streamed as at once", "[tokenizer][vocab]") {
  if (is_missing()) HAIKUDA_SKIP(why_missing());
  const std::string name = GENERATE("qwen2", "llama-bpe", "llama-spm");
  const auto tokenizer = Tokenizer::create(read_vocabulary(name));
  Ids ids;
  for (int id = 0; id < tokenizer->vocabulary().size(); ++id) ids.push_back(id);
  Utf8Stream whole;
  std::string text = whole.push(tokenizer->decode(ids));
  text += whole.flush();
  Detokenizer detokenizer(*tokenizer, true);
  std::string streamed;
  for (const int id : ids) streamed += detokenizer.push(id);
  REQUIRE((streamed + detokenizer.flush() == text));
}

TEST_CASE("vocabularies: special tokens of a chat", "[tokenizer][vocab]") {
  if (is_missing()) HAIKUDA_SKIP(why_missing());
  const auto qwen = Tokenizer::create(read_vocabulary("qwen2"));
  const std::string chat = "<|im_start|>user\nhi<|im_end|>\n";
  REQUIRE(qwen->encode(chat, {.add_special = true, .parse_special = true}) ==
          Ids{151644, 872, 198, 6023, 151645, 198});
  for (const int id : qwen->encode(chat, {.add_special = true, .parse_special = false}))
    REQUIRE(id < 151643);
  for (const int id : qwen->encode("[PAD151646]", {.add_special = true, .parse_special = true}))
    REQUIRE(id < 151643);
  const auto ends = qwen->vocabulary().end_of_generation();
  REQUIRE(Ids(ends.begin(), ends.end()) == Ids{151643, 151645});
  const auto llama = Tokenizer::create(read_vocabulary("llama-bpe"));
  REQUIRE(llama->encode("hi", {}) == Ids{128000, 6151});
  REQUIRE(llama->encode("<|begin_of_text|>hi", {.add_special = true, .parse_special = true}) ==
          Ids{128000, 6151});
}

TEST_CASE("vocabularies: a million letters take less than a second", "[tokenizer][vocab]") {
  if (is_missing()) HAIKUDA_SKIP(why_missing());
  constexpr double kBoundS =
      5;  // a fraction of a second on an idle core; a quadratic algorithm takes hours
  const std::string name = GENERATE("qwen2", "llama-bpe", "llama-spm");
  std::unique_ptr<Tokenizer> tokenizer;
  const Metadata metadata = read_vocabulary(name);
  std::ostringstream report;
  report << name << ": load " << seconds_of([&] { tokenizer = Tokenizer::create(metadata); })
         << " s; a million of";
  Random random(5);
  std::string letters;
  for (int i = 0; i < 1'000'000; ++i)
    letters.push_back(static_cast<char>(random.integer('a', 'z')));
  const auto run = [&](const std::string& label, const std::string& text) {
    CAPTURE(name, label);
    const double s = seconds_of([&] { tokenizer->encode(text, kPlain); });
    report << ' ' << label << ' ' << s << " s,";
    CHECK(s < kBoundS);
  };
  const auto repeated = [](std::string_view unit) {
    std::string text;
    for (int i = 0; i < 1'000'000; ++i) text += unit;
    return text;
  };
  run("random letters", letters);
  run("A", repeated("A"));
  run("spaces", repeated(" "));
  run("newlines", repeated("\n"));
  run("digits", repeated("7"));
  run("combining marks", repeated("\u0301"));
  run("CJK", repeated("我"));
  WARN(report.str());
}

}  // namespace haikuda::test
