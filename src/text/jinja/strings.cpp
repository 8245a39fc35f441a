#include "text/jinja/strings.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/utf8.h"
#include "text/jinja/chars.h"

namespace haikuda::jinja {
namespace {

constexpr auto kNpos = std::string_view::npos;

bool is_one_of(std::string_view c, std::string_view chars) {
  return chars.find(c) != kNpos;  // a UTF-8 character is found only at a character's start
}

std::size_t char_length(std::string_view text, std::size_t at) {
  if (static_cast<unsigned char>(text[at]) < 0x80) return 1;
  return static_cast<std::size_t>(decode_utf8(text.substr(at)).length);
}

// Appends the characters of text[begin, end) through `map`, an append_upper or append_lower.
void append_mapped(Runtime& runtime,
                   Text& out,
                   const Text& text,
                   std::size_t begin,
                   std::size_t end,
                   void (*map)(std::string&, char32_t)) {
  runtime.charge_chars(end - begin);
  std::string mapped;
  while (begin < end) {
    const bool from_input = text.from_input_at(begin);
    mapped.clear();
    for (; begin < end && text.from_input_at(begin) == from_input;) {
      const Utf8Char c = decode_utf8(text.view().substr(begin));
      if (c.valid) {
        map(mapped, c.code_point);
      } else {
        mapped.push_back(text.view()[begin]);
      }
      begin += static_cast<std::size_t>(c.length);
    }
    runtime.append(out, mapped, from_input);
  }
}

Text mapped(Runtime& runtime, const Text& text, void (*map)(std::string&, char32_t)) {
  Text out;
  append_mapped(runtime, out, text, 0, text.size(), map);
  return out;
}

// First character upper, the others lower.
void append_capitalized(
    Runtime& runtime, Text& out, const Text& text, std::size_t begin, std::size_t end) {
  if (begin == end) return;
  const std::size_t rest = begin + char_length(text.view(), begin);
  append_mapped(runtime, out, text, begin, rest, append_upper);
  append_mapped(runtime, out, text, rest, end, append_lower);
}

// Words of the text as [begin, end): maximal stretches of what is not `between`.
template <class Between>
Text capitalize_words(Runtime& runtime, const Text& text, Between between) {
  Text out;
  const std::string_view view = text.view();
  for (std::size_t at = 0; at < view.size();) {
    std::size_t end = at;
    while (end < view.size() && between(decode_utf8(view.substr(end))))
      end += char_length(view, end);
    runtime.append(out, text, at, end);
    at = end;
    while (end < view.size() && !between(decode_utf8(view.substr(end))))
      end += char_length(view, end);
    append_capitalized(runtime, out, text, at, end);
    at = end;
  }
  return out;
}

std::vector<Text> split_at_space(Runtime& runtime, const Text& text, std::int64_t limit) {
  std::vector<Text> parts;
  const std::string_view view = text.view();
  std::size_t at = leading_space(view);
  while (at < view.size()) {
    runtime.charge();
    if (limit >= 0 && static_cast<std::int64_t>(parts.size()) == limit) {
      parts.push_back(text.slice(at, view.size()));
      break;
    }
    std::size_t end = at;
    while (end < view.size() && leading_space(view.substr(end, 4)) == 0)
      end += char_length(view, end);
    parts.push_back(text.slice(at, end));
    at = end + leading_space(view.substr(end));
  }
  return parts;
}

std::vector<Text> split_at_space_from_right(Runtime& runtime,
                                            const Text& text,
                                            std::int64_t limit) {
  std::vector<Text> parts;
  std::string_view view = text.view().substr(0, text.size() - trailing_space(text.view()));
  while (!view.empty()) {
    runtime.charge();
    if (limit >= 0 && static_cast<std::int64_t>(parts.size()) == limit) {
      parts.push_back(text.slice(0, view.size()));
      break;
    }
    std::size_t begin = view.size();
    while (begin > 0 && trailing_space(view.substr(0, begin)) == 0)
      begin = previous_char(view, begin);
    parts.push_back(text.slice(begin, view.size()));
    view = view.substr(0, begin);
    view.remove_suffix(trailing_space(view));
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

// Starts of the non-overlapping occurrences of `what`, from the left.
std::vector<std::size_t> occurrences(std::string_view text, std::string_view what) {
  std::vector<std::size_t> found;
  for (std::size_t at = 0; (at = find_bytes(text, what, at)) != kNpos; at += what.size())
    found.push_back(at);
  return found;
}

std::vector<std::size_t> occurrences_from_right(std::string_view text, std::string_view what) {
  const std::string backwards(text.rbegin(), text.rend());
  std::vector<std::size_t> found = occurrences(backwards, std::string(what.rbegin(), what.rend()));
  for (std::size_t& at : found) at = text.size() - at - what.size();
  std::reverse(found.begin(), found.end());
  return found;
}

Text replace_empty(Runtime& runtime, const Text& text, const Text& to, std::int64_t limit) {
  Text out;
  std::size_t at = 0;
  for (std::int64_t n = 0; limit < 0 || n < limit; ++n) {
    runtime.append(out, to);
    if (at == text.size()) return out;
    const std::size_t end = at + char_length(text.view(), at);
    runtime.append(out, text, at, end);
    at = end;
  }
  runtime.append(out, text, at, text.size());
  return out;
}

}  // namespace

std::int64_t count_chars(std::string_view text) {
  std::int64_t n = 0;
  for (std::size_t at = 0; at < text.size(); at += char_length(text, at)) ++n;
  return n;
}

std::vector<std::size_t> char_offsets(std::string_view text) {
  std::vector<std::size_t> offsets;
  offsets.reserve(text.size() + 1);
  for (std::size_t at = 0; at < text.size(); at += char_length(text, at)) offsets.push_back(at);
  offsets.push_back(text.size());
  return offsets;
}

Text strip(Runtime& runtime, const Text& text, Side side, const Text* chars) {
  runtime.charge(text.size());
  const std::string_view view = text.view();
  std::size_t begin = 0, end = view.size();
  if (chars == nullptr) {
    if (side != Side::right) begin = leading_space(view);
    if (side != Side::left) end -= trailing_space(view.substr(begin));
    return text.slice(begin, end);
  }
  const auto pay_for_set = [&] {
    if (chars->size() > 64) runtime.charge(chars->size());
  };
  while (side != Side::right && begin < end) {
    const std::size_t length = char_length(view, begin);
    if (!is_one_of(view.substr(begin, length), chars->view())) break;
    begin += length;
    pay_for_set();
  }
  while (side != Side::left && begin < end) {
    const std::size_t last = previous_char(view, end);
    if (!is_one_of(view.substr(last, end - last), chars->view())) break;
    end = last;
    pay_for_set();
  }
  return text.slice(begin, end);
}

Text lower(Runtime& runtime, const Text& text) {
  return mapped(runtime, text, append_lower);
}
Text upper(Runtime& runtime, const Text& text) {
  return mapped(runtime, text, append_upper);
}

Text capitalize(Runtime& runtime, const Text& text) {
  Text out;
  append_capitalized(runtime, out, text, 0, text.size());
  return out;
}

Text title(Runtime& runtime, const Text& text) {
  return capitalize_words(runtime, text, [](const Utf8Char& c) {
    const bool ascii_letter = (c.code_point | 0x20) >= 'a' && (c.code_point | 0x20) <= 'z';
    return !c.valid || !(ascii_letter || (c.code_point >= 0x80 && is_cased(c.code_point)));
  });
}

Text title_filter(Runtime& runtime, const Text& text) {
  return capitalize_words(runtime, text, [](const Utf8Char& c) {
    const bool bracket = c.code_point < 0x80 &&
                         std::string_view("-({[<").find(static_cast<char>(c.code_point)) != kNpos;
    return c.valid && (bracket || is_space(c.code_point));
  });
}

Text reversed(Runtime& runtime, const Text& text) {
  Text out;
  for (std::size_t end = text.size(); end > 0;) {
    const std::size_t begin = previous_char(text.view(), end);
    runtime.append(out, text, begin, end);
    end = begin;
  }
  return out;
}

Text repeat(Runtime& runtime, const Text& text, std::int64_t count) {
  Text out;
  if (text.empty() || count <= 0) return out;
  if (static_cast<std::uint64_t>(count) > kMaxTextBytes / text.size()) runtime.fail_too_long();
  for (std::int64_t i = 0; i < count; ++i) runtime.append(out, text);
  return out;
}

Text replace(
    Runtime& runtime, const Text& text, const Text& from, const Text& to, std::int64_t limit) {
  runtime.charge(text.size());
  if (from.empty()) return replace_empty(runtime, text, to, limit);
  Text out;
  std::size_t at = 0;
  for (; limit != 0; --limit) {
    const std::size_t found = find_bytes(text.view(), from.view(), at);
    if (found == kNpos) break;
    runtime.append(out, text, at, found);
    runtime.append(out, to);
    at = found + from.size();
  }
  runtime.append(out, text, at, text.size());
  return out;
}

std::vector<Text> split(
    Runtime& runtime, const Text& text, const Text* separator, std::int64_t limit, Side side) {
  runtime.charge_chars(text.size());
  if (separator == nullptr)
    return side == Side::right ? split_at_space_from_right(runtime, text, limit)
                               : split_at_space(runtime, text, limit);
  if (separator->empty()) runtime.fail("split() with an empty separator");
  std::vector<std::size_t> cuts = side == Side::right
                                      ? occurrences_from_right(text.view(), separator->view())
                                      : occurrences(text.view(), separator->view());
  if (limit >= 0 && cuts.size() > static_cast<std::size_t>(limit)) {
    const auto drop = static_cast<std::ptrdiff_t>(cuts.size()) - static_cast<std::ptrdiff_t>(limit);
    if (side == Side::right) {
      cuts.erase(cuts.begin(), cuts.begin() + drop);
    } else {
      cuts.erase(cuts.end() - drop, cuts.end());
    }
  }
  std::vector<Text> parts;
  std::size_t begin = 0;
  for (const std::size_t cut : cuts) {
    runtime.charge();
    parts.push_back(text.slice(begin, cut));
    begin = cut + separator->size();
  }
  parts.push_back(text.slice(begin, text.size()));
  return parts;
}

std::vector<Text> split_lines(Runtime& runtime, const Text& text, bool keep_ends) {
  runtime.charge_chars(text.size());
  std::vector<Text> lines;
  const std::string_view view = text.view();
  std::size_t begin = 0;
  for (std::size_t at = 0; at < view.size();) {
    const Utf8Char c = decode_utf8(view.substr(at));
    std::size_t end = at + static_cast<std::size_t>(c.length);
    if (c.valid && is_line_end(c.code_point)) {
      runtime.charge();
      if (c.code_point == '\r' && end < view.size() && view[end] == '\n') ++end;
      lines.push_back(text.slice(begin, keep_ends ? end : at));
      begin = end;
    }
    at = end;
  }
  if (begin < view.size()) lines.push_back(text.slice(begin, view.size()));
  return lines;
}

Text indent(Runtime& runtime, const Text& text, const Text& by, bool first, bool blank) {
  Text whole = text;
  runtime.append(whole, "\n");
  const std::vector<Text> lines = split_lines(runtime, whole, false);
  Text out;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) runtime.append(out, "\n");
    const bool indented = i == 0 ? first : blank || !lines[i].empty();
    if (indented) runtime.append(out, by);
    runtime.append(out, lines[i]);
  }
  return out;
}

std::size_t find_bytes(std::string_view text, std::string_view what, std::size_t from) {
  constexpr std::size_t kShort = 16;  // find() takes the product of both lengths at worst
  if (from > text.size()) return kNpos;
  if (what.size() <= kShort) return text.find(what, from);
  const void* found = memmem(text.data() + from, text.size() - from, what.data(), what.size());
  return found == nullptr ? kNpos
                          : static_cast<std::size_t>(static_cast<const char*>(found) - text.data());
}

std::int64_t count_occurrences(Runtime& runtime, const Text& text, const Text& what) {
  runtime.charge(text.size());
  if (what.empty()) return count_chars(text.view()) + 1;
  return static_cast<std::int64_t>(occurrences(text.view(), what.view()).size());
}

}  // namespace haikuda::jinja
