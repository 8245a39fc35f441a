#include "text/jinja/chars.h"

#include <algorithm>
#include <cstdint>

#include "base/utf8.h"

namespace haikuda::jinja {
namespace {

// Every step-th character of [first, last] maps to itself plus delta. Ranges ascend and do not
// overlap.
struct CaseRange {
  char32_t first, last;
  int step;
  std::int32_t delta;
};
struct LongCase {
  char32_t from;
  const char* to;
};
struct CharRange {
  char32_t first, last;
};

// kUpper, kLower, kLongUpper and kNotPrintable.
#include "text/jinja/unicode_tables.inc"

template <std::size_t N>
char32_t map_case(const CaseRange (&ranges)[N], char32_t c) {
  const auto* range =
      std::upper_bound(std::begin(ranges), std::end(ranges), c,
                       [](char32_t at, const CaseRange& r) { return at < r.first; });
  if (range == std::begin(ranges)) return c;
  --range;
  if (c <= range->last && (c - range->first) % static_cast<char32_t>(range->step) == 0)
    return static_cast<char32_t>(static_cast<std::int32_t>(c) + range->delta);
  return c;
}

}  // namespace

bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
         c == 0x205f || c == 0x3000;
}

bool is_line_end(char32_t c) {
  return (c >= 0x0a && c <= 0x0d) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

bool is_printable(char32_t c) {
  return std::none_of(std::begin(kNotPrintable), std::end(kNotPrintable),
                      [c](const CharRange& r) { return c >= r.first && c <= r.last; });
}

bool is_cased(char32_t c) {
  return map_case(kLower, c) != c || map_case(kUpper, c) != c ||
         std::any_of(std::begin(kLongUpper), std::end(kLongUpper),
                     [c](const LongCase& l) { return l.from == c; });
}

void append_upper(std::string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c));
    return;
  }
  for (const LongCase& entry : kLongUpper) {
    if (entry.from == c) {
      out += entry.to;
      return;
    }
  }
  append_utf8(out, map_case(kUpper, c));
}

void append_lower(std::string& out, char32_t c) {
  if (c < 0x80) {
    out.push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
  } else if (c == 0x130) {
    out += "i\u0307";
  } else {
    append_utf8(out, map_case(kLower, c));
  }
}

std::size_t leading_space(std::string_view text) {
  std::size_t n = 0;
  while (n < text.size()) {
    const Utf8Char c = decode_utf8(text.substr(n));
    if (!c.valid || !is_space(c.code_point)) break;
    n += static_cast<std::size_t>(c.length);
  }
  return n;
}

std::size_t trailing_space(std::string_view text) {
  std::size_t end = text.size();
  while (end > 0) {
    const std::size_t begin = previous_char(text, end);
    const Utf8Char c = decode_utf8(text.substr(begin, end - begin));
    if (!c.valid || !is_space(c.code_point)) break;
    end = begin;
  }
  return text.size() - end;
}

std::size_t previous_char(std::string_view text, std::size_t end) {
  for (std::size_t length = 1; length <= std::min<std::size_t>(4, end); ++length) {
    const Utf8Char c = decode_utf8(text.substr(end - length, length));
    if (c.valid && static_cast<std::size_t>(c.length) == length) return end - length;
  }
  return end - 1;
}

}  // namespace haikuda::jinja
