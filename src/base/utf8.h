// UTF-8 decoding, strict (no overlong forms, no surrogates, at most U+10FFFF).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace haikuda {

struct Utf8Char {
  char32_t code_point = 0;
  int length = 1;  // bytes consumed; 1 for an invalid byte
  bool valid = false;
};

// The character at the start of `text`, which is not empty.
Utf8Char decode_utf8(std::string_view text);
void append_utf8(std::string& out, char32_t code_point);
// Offset of the first byte that is not part of valid UTF-8.
std::optional<std::size_t> find_invalid_utf8(std::string_view text);

}  // namespace haikuda
