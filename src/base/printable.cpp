#include "base/printable.h"

#include <fmt/format.h>

#include "base/utf8.h"

namespace haikuda {
namespace {

bool is_hidden(char32_t c) {
  const bool control = c < 0x20 || (c >= 0x7f && c <= 0x9f);
  const bool bidi =
      (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f;
  return control || bidi || c == 0x2028 || c == 0x2029;
}

}  // namespace

std::string printable(std::string_view text, std::size_t max_chars) {
  std::string out;
  std::size_t n_chars = 0;
  while (!text.empty()) {
    if (n_chars++ == max_chars) return out + "…";
    const Utf8Char c = decode_utf8(text);
    if (!c.valid) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
    } else if (is_hidden(c.code_point)) {
      out += c.code_point < 0x80 ? fmt::format("\\x{:02x}", static_cast<unsigned>(c.code_point))
                                 : fmt::format("\\u{{{:x}}}", static_cast<unsigned>(c.code_point));
    } else {
      out += text.substr(0, static_cast<std::size_t>(c.length));
    }
    text.remove_prefix(static_cast<std::size_t>(c.length));
  }
  return out;
}

}  // namespace haikuda
