// Python's str algorithms on Text: every character of a result keeps the origin it had. Positions
// and widths count characters, not bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/text.h"

namespace haikuda::jinja {

enum class Side { left, right, both };

std::int64_t count_chars(std::string_view text);
// Byte offsets of all characters, and one past the last.
std::vector<std::size_t> char_offsets(std::string_view text);

// Cuts white space, or the characters in `chars`.
Text strip(Runtime& runtime, const Text& text, Side side, const Text* chars);
Text lower(Runtime& runtime, const Text& text);
Text upper(Runtime& runtime, const Text& text);
Text capitalize(Runtime& runtime, const Text& text);
Text title(Runtime& runtime, const Text& text);         // str.title
Text title_filter(Runtime& runtime, const Text& text);  // jinja2's filter: other word borders
Text reversed(Runtime& runtime, const Text& text);
Text repeat(Runtime& runtime, const Text& text, std::int64_t count);

// At most `limit` replacements; -1: all.
Text replace(
    Runtime& runtime, const Text& text, const Text& from, const Text& to, std::int64_t limit);
// At white space when `separator` is null; at most `limit` times from `side`; -1: always.
std::vector<Text> split(
    Runtime& runtime, const Text& text, const Text* separator, std::int64_t limit, Side side);
std::vector<Text> split_lines(Runtime& runtime, const Text& text, bool keep_ends);
Text indent(Runtime& runtime, const Text& text, const Text& by, bool first, bool blank);

// Linear time, unlike string_view::find. npos when there is none.
std::size_t find_bytes(std::string_view text, std::string_view what, std::size_t from = 0);
std::int64_t count_occurrences(Runtime& runtime, const Text& text, const Text& what);

}  // namespace haikuda::jinja
