// UTF-8: every code point, every kind of invalid sequence.
#include <string>
#include <string_view>

#include "base/utf8.h"
#include "support/catch.h"

namespace haikuda::test {
namespace {

bool is_scalar(char32_t c) {
  return c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

std::size_t encoded_length(char32_t c) {
  return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

}  // namespace

TEST_CASE("utf8: every code point is encoded and decoded back", "[utf8]") {
  int n_wrong = 0;
  for (char32_t c = 0; c <= 0x10ffff; ++c) {
    if (!is_scalar(c)) continue;
    std::string text;
    append_utf8(text, c);
    const Utf8Char got = decode_utf8(text + "x");
    const bool right = got.valid && got.code_point == c &&
                       static_cast<std::size_t>(got.length) == text.size() &&
                       text.size() == encoded_length(c) && !find_invalid_utf8(text);
    n_wrong += right ? 0 : 1;
  }
  REQUIRE(n_wrong == 0);
}

TEST_CASE("utf8: of all sequences of up to three bytes exactly the shortest forms are valid",
          "[utf8]") {
  // A valid decoding, encoded again, gives the same bytes: excludes overlong forms and surrogates.
  int n_valid = 0, n_wrong = 0;
  for (unsigned a = 0x80; a < 0x100; ++a)
    for (unsigned b = 0; b < 0x100; ++b)
      for (unsigned c = 0x70; c < 0xc8; ++c) {  // the third byte only around the continuation range
        const std::string text = {static_cast<char>(a), static_cast<char>(b), static_cast<char>(c)};
        const Utf8Char got = decode_utf8(text);
        if (!got.valid) {
          n_wrong += got.length != 1;
          continue;
        }
        std::string again;
        append_utf8(again, got.code_point);
        n_wrong += !is_scalar(got.code_point) ||
                   text.substr(0, static_cast<std::size_t>(got.length)) != again;
        n_valid += got.length == 3;
      }
  REQUIRE(n_wrong == 0);
  REQUIRE(n_valid == 0x10000 - 0x800 - 2048);  // all of the three-byte range without surrogates
}

TEST_CASE("utf8: invalid sequences count one byte", "[utf8]") {
  using namespace std::string_view_literals;
  const std::string_view text = GENERATE(
      "\x80"sv, "\xbf"sv, "\xc0\x80"sv, "\xc1\xbf"sv, "\xc3"sv, "\xc3("sv, "\xe0\x80\x80"sv,
      "\xe0\x9f\xbf"sv, "\xe2\x82"sv, "\xed\xa0\x80"sv, "\xed\xbf\xbf"sv, "\xf0\x8f\xbf\xbf"sv,
      "\xf0\x9f\x98"sv, "\xf4\x90\x80\x80"sv, "\xf5\x80\x80\x80"sv, "\xfe"sv, "\xff"sv);
  const Utf8Char got = decode_utf8(text);
  REQUIRE_FALSE(got.valid);
  REQUIRE(got.length == 1);
  REQUIRE(find_invalid_utf8("ab" + std::string(text)) == 2u);
}

TEST_CASE("find_invalid_utf8: the offset of the first wrong byte, or none", "[utf8]") {
  REQUIRE_FALSE(find_invalid_utf8(""));
  REQUIRE_FALSE(find_invalid_utf8("plain"));
  REQUIRE_FALSE(find_invalid_utf8("Gr\xc3\xbc\xc3\x9f \xe4\xbd\xa0\xe5\xa5\xbd \xf0\x9f\x98\x80"));
  REQUIRE_FALSE(find_invalid_utf8(std::string_view("a\0b", 3)));
  REQUIRE(find_invalid_utf8("\xe4\xbd\xa0\xe4\xbd") == 3u);
  REQUIRE(find_invalid_utf8("caf\xe9") == 3u);
}

}  // namespace haikuda::test
