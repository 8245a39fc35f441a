#include "text/utf8_stream.h"

#include <algorithm>
#include <utility>

#include "base/utf8.h"

namespace haikuda {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

// How many bytes at the start of `text`, which is no valid character, some character begins with;
// at least 1. `complete` is set false when only the end of the text stops it.
std::size_t maximal_part(std::string_view text, bool& complete) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  complete = true;
  if (first < 0xc2 || first > 0xf4) return 1;
  // The second byte excludes overlong forms, surrogates and what is above U+10FFFF.
  const unsigned low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const unsigned high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  for (std::size_t i = 1; i < length; ++i) {
    if (i == text.size()) {
      complete = false;
      return i;
    }
    const bool continues = i == 1 ? byte(i) >= low && byte(i) <= high : (byte(i) & 0xc0u) == 0x80u;
    if (!continues) return i;
  }
  return length;
}

}  // namespace

std::string Utf8Stream::push(std::string_view bytes) {
  const std::string joined = std::exchange(held_, {}).append(bytes);
  std::string_view rest = joined;
  std::string out;
  while (!rest.empty()) {
    const std::size_t valid = find_invalid_utf8(rest).value_or(rest.size());
    out += rest.substr(0, valid);
    rest.remove_prefix(valid);
    if (rest.empty()) break;
    bool complete = true;
    const std::size_t n = maximal_part(rest, complete);
    if (complete)
      out += kReplacement;
    else
      held_ = rest;
    rest.remove_prefix(n);
  }
  return out;
}

std::string Utf8Stream::flush() {
  if (held_.empty()) return {};
  held_.clear();
  return std::string(kReplacement);
}

}  // namespace haikuda
