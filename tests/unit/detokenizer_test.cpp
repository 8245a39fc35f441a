// Streams of bytes and tokens to text: always complete UTF-8, and the same however it is cut.
#include <string>
#include <vector>

#include "base/utf8.h"
#include "support/catch.h"
#include "support/random.h"
#include "text/detokenizer.h"
#include "text/utf8_stream.h"
#include "unit/tokenizer_support.h"

namespace haikuda::test {
namespace {

std::string replace_invalid(std::string_view bytes) {
  Utf8Stream stream;
  std::string out = stream.push(bytes);
  return out + stream.flush();
}

// Pushes pieces of 1 to 4 bytes and requires that each answer is complete UTF-8.
std::string push_in_pieces(std::string_view bytes, Random& random) {
  Utf8Stream stream;
  std::string out;
  std::size_t pushed = 0;
  while (pushed < bytes.size()) {
    const std::string_view piece =
        bytes.substr(pushed, static_cast<std::size_t>(random.integer(1, 4)));
    const std::string text = stream.push(piece);
    REQUIRE_FALSE(find_invalid_utf8(text));
    out += text;
    pushed += piece.size();
  }
  return out + stream.flush();
}

}  // namespace

TEST_CASE("utf8 stream: a character comes out when its last byte is in", "[detokenizer]") {
  Utf8Stream stream;
  REQUIRE(stream.push("a\xf0") == "a");
  REQUIRE(stream.push("\x9f") == "");
  REQUIRE(stream.push("\x9a") == "");
  REQUIRE(stream.push("\x80z") == "🚀z");
  REQUIRE(stream.flush() == "");
  REQUIRE(stream.push("\xe2\x82") == "");
  REQUIRE(stream.flush() == "\ufffd");
  REQUIRE(stream.push("b") == "b");
}

// The expected texts are Python's bytes.decode("utf-8", "replace").
TEST_CASE("utf8 stream: what is no character becomes U+FFFD", "[detokenizer]") {
  REQUIRE(replace_invalid("\xff") == "\ufffd");
  REQUIRE(replace_invalid("\x80\x80") == "\ufffd\ufffd");
  REQUIRE(replace_invalid("\xc0\xaf") == "\ufffd\ufffd");
  REQUIRE(replace_invalid("\xe0\x80\x80") == "\ufffd\ufffd\ufffd");
  REQUIRE(replace_invalid("\xed\xa0\x80") == "\ufffd\ufffd\ufffd");
  REQUIRE(replace_invalid("\xf4\x90\x80\x80") == "\ufffd\ufffd\ufffd\ufffd");
  REQUIRE(replace_invalid("\xf0\x9f\x9a|") == "\ufffd|");
  REQUIRE(replace_invalid("\xe2\x82\xe2\x82\xac") == "\ufffd€");
  REQUIRE(replace_invalid("\xf0\x9f\xe2") == "\ufffd\ufffd");
  REQUIRE(replace_invalid(std::string_view("a\0b", 3)) == std::string("a\0b", 3));
}

TEST_CASE("utf8 stream: how the bytes are cut makes no difference", "[detokenizer]") {
  Random random(11);
  for (int n = 0; n < 500; ++n) {
    std::string bytes = random_text(random, 20);
    if (n % 2 == 0)
      for (int i = 0; i < 4; ++i)
        bytes[random.bits() % bytes.size()] = static_cast<char>(random.byte());
    CAPTURE(bytes);
    const std::string whole = replace_invalid(bytes);
    REQUIRE(push_in_pieces(bytes, random) == whole);
    if (n % 2 == 1) REQUIRE(whole == bytes);
  }
}

TEST_CASE("detokenizer: emits complete UTF-8 and in the end the decoded text", "[detokenizer]") {
  const bool spm = GENERATE(false, true);
  const auto tokenizer = spm ? toy_spm().build() : toy_bpe().build();
  Random random(12);
  for (int n = 0; n < 300; ++n) {
    const std::string text = random_text(random, 20);
    Detokenizer detokenizer(*tokenizer, true);
    std::string streamed;
    for (const int id : tokenizer->encode(text, kPlain)) {
      const std::string piece = detokenizer.push(id);
      REQUIRE_FALSE(find_invalid_utf8(piece));
      streamed += piece;
    }
    REQUIRE(streamed + detokenizer.flush() == text);
  }
}

TEST_CASE("detokenizer: random tokens give the same text as decoding them at once",
          "[detokenizer]") {
  const bool spm = GENERATE(false, true);
  const auto tokenizer = spm ? toy_spm().build() : toy_bpe().build();
  Random random(13);
  for (int n = 0; n < 300; ++n) {
    std::vector<int> ids(20);
    for (int& id : ids) id = random.integer(0, tokenizer->vocabulary().size() - 1);
    Detokenizer detokenizer(*tokenizer, true);
    std::string streamed;
    for (const int id : ids) streamed += detokenizer.push(id);
    REQUIRE(streamed + detokenizer.flush() == replace_invalid(tokenizer->decode(ids)));
  }
}

TEST_CASE("detokenizer: going on with a prompt keeps the first space, a start drops it",
          "[detokenizer]") {
  const ToyVocabulary toy = toy_spm();
  const auto tokenizer = toy.build();
  Detokenizer goes_on(*tokenizer), starts(*tokenizer, true);
  REQUIRE(goes_on.push(toy.id("▁hello")) == " hello");
  REQUIRE(starts.push(toy.id("▁hello")) == "hello");
  REQUIRE(starts.push(toy.id("▁world")) == " world");
  REQUIRE(starts.push(toy.id("</s>")) == "");
  REQUIRE(starts.push(toy.id("▁world")) == "world");
}

TEST_CASE("detokenizer: byte tokens join to characters", "[detokenizer]") {
  const ToyVocabulary toy = toy_spm();
  const auto tokenizer = toy.build();
  Detokenizer detokenizer(*tokenizer);
  REQUIRE(detokenizer.push(toy.id("<0xE2>")) == "");
  REQUIRE(detokenizer.push(toy.id("<0x82>")) == "");
  REQUIRE(detokenizer.push(toy.id("<0xAC>")) == "€");
  REQUIRE(detokenizer.push(toy.id("<0xE2>")) == "");
  REQUIRE(detokenizer.push(toy.id("he")) == "\ufffdhe");
}

}  // namespace haikuda::test
