// What Python's str methods know about characters: white space, line ends, case, printability.
#pragma once

#include <string>
#include <string_view>

namespace haikuda::jinja {

bool is_space(char32_t c);      // str.isspace
bool is_line_end(char32_t c);   // str.splitlines
bool is_printable(char32_t c);  // str.isprintable, unassigned characters taken as printable
bool is_cased(char32_t c);      // has another case

void append_upper(std::string& out, char32_t c);  // full mapping: one character may become three
void append_lower(std::string& out, char32_t c);

// Bytes of white space at the begin and at the end of `text`.
std::size_t leading_space(std::string_view text);
std::size_t trailing_space(std::string_view text);
// Start of the last character of text[0, end), end > 0. A byte outside valid UTF-8 is a character
// of its own.
std::size_t previous_char(std::string_view text, std::size_t end);

}  // namespace haikuda::jinja
