#include "text/jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "base/printable.h"
#include "base/utf8.h"
#include "text/jinja/chars.h"
#include "text/jinja/runtime.h"

namespace haikuda::jinja {
namespace {

// Longest first.
constexpr std::array<std::string_view, 26> kSymbols = {
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
    "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_name_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

class Lexer {
 public:
  Lexer(std::string_view source, std::string_view name) : source_(source), name_(name) {}

  std::vector<Token> run() {
    while (position_ < source_.size()) read_data();
    add(TokenKind::end, position_, position_);
    return std::move(tokens_);
  }

 private:
  [[noreturn]] void fail(std::size_t at, std::string_view problem) const {
    const auto lines =
        std::count(source_.begin(), source_.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    fail_at(name_, static_cast<int>(lines) + 1, problem);
  }
  bool at(std::string_view text) const { return source_.substr(position_).starts_with(text); }
  char peek(std::size_t offset = 0) const {
    return position_ + offset < source_.size() ? source_[position_ + offset] : '\0';
  }

  // Tokens are added in order, so lines are counted once.
  int line_of(std::size_t offset) {
    for (; counted_ < offset; ++counted_) line_ += source_[counted_] == '\n' ? 1 : 0;
    return line_;
  }
  void add(TokenKind kind, std::size_t begin, std::size_t end) {
    tokens_.push_back({kind, line_of(begin), source_.substr(begin, end - begin)});
  }
  void skip_space() { position_ += leading_space(source_.substr(position_)); }

  void read_data();
  void add_data(std::size_t begin, std::size_t end, char sign, bool is_output);
  void skip_comment();
  bool read_raw();
  void read_tag(bool is_output);
  bool read_tag_end(bool is_output);
  void read_token();
  void read_number();
  void read_string(char quote);
  void read_symbol();
  char read_sign();
  void finish_tag(bool trim_newline);

  std::string_view source_, name_;
  std::vector<Token> tokens_;
  std::size_t position_ = 0, counted_ = 0;
  int line_ = 1;
  bool line_starting_ = true;  // what was read before ended with a line end
  std::string open_brackets_;  // the closing ones that are due, innermost last
};

// The sign after an opening or before a closing delimiter: '-', '+' or 0.
char Lexer::read_sign() {
  const char sign = peek();
  if (sign != '-' && sign != '+') return 0;
  ++position_;
  return sign;
}

// Text up to the next tag, and that tag.
void Lexer::read_data() {
  const std::size_t begin = position_;
  std::size_t tag = begin;
  do {
    tag = source_.find('{', tag);
    if (tag == std::string_view::npos || tag + 1 >= source_.size()) {
      add(TokenKind::data, begin, source_.size());
      position_ = source_.size();
      return;
    }
  } while (std::string_view("{%#").find(source_[++tag]) == std::string_view::npos);
  const char type = source_[tag];
  const bool is_output = type == '{';
  position_ = tag + 1;
  const char sign = read_sign();
  add_data(begin, tag - 1, sign, is_output);
  if (type == '#') {
    skip_comment();
  } else if (is_output || !read_raw()) {
    read_tag(is_output);
  }
}

void Lexer::add_data(std::size_t begin, std::size_t end, char sign, bool is_output) {
  std::string_view text = source_.substr(begin, end - begin);
  if (sign == '-') {
    text.remove_suffix(trailing_space(text));
  } else if (sign != '+' && !is_output) {                 // lstrip_blocks
    const std::size_t line_begin = text.rfind('\n') + 1;  // npos + 1 is 0
    if ((line_begin > 0 || line_starting_) &&
        leading_space(text.substr(line_begin)) == text.size() - line_begin)
      text = text.substr(0, line_begin);
  }
  if (!text.empty()) add(TokenKind::data, begin, begin + text.size());
}

// After the closing delimiter of a block or comment: `-` strips what follows, trim_blocks one line
// end.
void Lexer::finish_tag(bool trim_newline) {
  if (trim_newline && peek() == '\n') ++position_;
  line_starting_ = source_[position_ - 1] == '\n';
}

void Lexer::skip_comment() {
  const std::size_t end = source_.find("#}", position_);
  if (end == std::string_view::npos) fail(position_, "missing end of comment tag");
  const char sign = end > position_ ? source_[end - 1] : '\0';
  position_ = end + 2;
  if (sign == '-') skip_space();
  finish_tag(sign != '-' && sign != '+');
}

// After `{%` and its sign: `raw %} … {% endraw %}`.
bool Lexer::read_raw() {
  const std::size_t start = position_;
  skip_space();
  const bool is_raw = at("raw");
  position_ += is_raw ? 3 : 0;
  skip_space();
  if (!is_raw || !(at("%}") || at("-%}"))) {
    position_ = start;
    return false;
  }
  const bool strip = read_sign() == '-';
  position_ += 2;
  if (strip) skip_space();
  line_starting_ = source_[position_ - 1] == '\n';
  const std::size_t begin = position_;
  for (std::size_t tag = begin; (tag = source_.find("{%", tag)) != std::string_view::npos; ++tag) {
    position_ = tag + 2;
    const char sign = read_sign();
    skip_space();
    if (!at("endraw")) continue;
    position_ += 6;
    skip_space();
    const char end_sign = read_sign();
    if (!at("%}")) continue;
    position_ += 2;
    const std::size_t after = position_;
    add_data(begin, tag, sign, false);
    position_ = after;
    if (end_sign == '-') skip_space();
    finish_tag(end_sign == 0);
    return true;
  }
  fail(begin, "missing end of raw directive");
}

void Lexer::read_tag(bool is_output) {
  add(is_output ? TokenKind::begin_output : TokenKind::begin_block, position_, position_);
  const std::size_t begin = position_;
  open_brackets_.clear();
  while (!read_tag_end(is_output)) {
    if (position_ >= source_.size())
      fail(begin, is_output ? "'{{' without '}}'" : "'{%' without '%}'");
    read_token();
  }
}

bool Lexer::read_tag_end(bool is_output) {
  skip_space();
  if (!open_brackets_.empty()) return false;
  const std::string_view closing = is_output ? "}}" : "%}";
  const bool has_sign = peek() == '-' || (peek() == '+' && !is_output);
  if (!source_.substr(position_ + (has_sign ? 1 : 0)).starts_with(closing)) return false;
  const char sign = has_sign ? read_sign() : '\0';
  add(is_output ? TokenKind::end_output : TokenKind::end_block, position_, position_ + 2);
  position_ += 2;
  if (sign == '-') skip_space();
  finish_tag(sign == 0 && !is_output);
  return true;
}

void Lexer::read_token() {
  const char c = peek();
  if (is_digit(c)) {
    read_number();
  } else if (is_name_start(c)) {
    const std::size_t begin = position_;
    while (is_name_start(peek()) || is_digit(peek())) ++position_;
    if (position_ - begin > kMaxNameBytes) fail(begin, "a name of more than 256 characters");
    add(TokenKind::name, begin, position_);
  } else if (c == '"' || c == '\'') {
    read_string(c);
  } else {
    read_symbol();
  }
}

void Lexer::read_number() {
  const std::size_t begin = position_;
  const auto digits = [&](std::size_t from) {  // end of \d+(_\d+)* there, or `from`
    std::size_t i = from;
    while (i < source_.size() &&
           (is_digit(source_[i]) ||
            (source_[i] == '_' && i > from && i + 1 < source_.size() && is_digit(source_[i + 1]))))
      ++i;
    return i;
  };
  if (peek() == '0' && std::string_view("xXoObB").find(peek(1)) != std::string_view::npos &&
      peek(1) != '\0')
    fail(begin, "hexadecimal, octal and binary numbers are not supported");
  std::size_t end = digits(begin);
  bool real = false;
  const bool after_dot = begin > 0 && source_[begin - 1] == '.';  // as in items.0.name
  if (!after_dot && end + 1 < source_.size() && source_[end] == '.' && digits(end + 1) > end + 1) {
    real = true;
    end = digits(end + 1);
  }
  if (!after_dot && end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
    const std::size_t sign =
        end + 1 < source_.size() && (source_[end + 1] == '+' || source_[end + 1] == '-') ? 1 : 0;
    const std::size_t exponent = end + 1 + sign;
    if (digits(exponent) > exponent) {
      real = true;
      end = digits(exponent);
    }
  }
  add(real ? TokenKind::real : TokenKind::integer, begin, end);
  position_ = end;
}

void Lexer::read_string(char quote) {
  const std::size_t begin = position_;
  std::size_t end = begin + 1;
  while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
  if (end >= source_.size()) fail(begin, "a string without closing quote");
  add(TokenKind::string, begin, end + 1);
  position_ = end + 1;
}

void Lexer::read_symbol() {
  const auto symbol =
      std::find_if(kSymbols.begin(), kSymbols.end(), [this](std::string_view s) { return at(s); });
  if (symbol == kSymbols.end())
    fail(position_,
         fmt::format("unexpected character '{}'", printable(source_.substr(position_, 1))));
  const char c = symbol->front();
  if (c == '(' || c == '[' || c == '{') {
    open_brackets_.push_back(c == '(' ? ')' : static_cast<char>(c + 2));
  } else if (c == ')' || c == ']' || c == '}') {
    if (open_brackets_.empty()) fail(position_, fmt::format("unexpected '{}'", c));
    if (open_brackets_.back() != c)
      fail(position_, fmt::format("unexpected '{}', expected '{}'", c, open_brackets_.back()));
    open_brackets_.pop_back();
  }
  add(TokenKind::symbol, position_, position_ + symbol->size());
  position_ += symbol->size();
}

// Python's one-character escapes, in pairs.
constexpr std::string_view kEscapes = "n\nt\tr\r\\\\'\'\"\"a\ab\bf\fv\v";

// The value of `digits` digits in that base at the start of `text`; -1 when they are not there.
long parse_escape(std::string_view text, std::size_t digits, int base) {
  long value = -1;
  const std::string_view part = text.substr(0, digits);
  const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), value, base);
  return error == std::errc() && end == part.data() + part.size() && part.size() == digits &&
                 value >= 0
             ? value
             : -1;
}

}  // namespace

std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out.push_back(source[i] == '\r' ? '\n' : source[i]);
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

std::vector<Token> tokenize(std::string_view source, std::string_view template_name) {
  return Lexer(source, template_name).run();
}

std::string decode_string(const Token& token, std::string_view template_name) {
  std::string_view rest = token.text.substr(1, token.text.size() - 2);
  std::string out;
  while (!rest.empty()) {
    if (rest[0] != '\\') {
      const std::size_t plain = std::min(rest.find('\\'), rest.size());
      out += rest.substr(0, plain);
      rest.remove_prefix(plain);
      continue;
    }
    const char c = rest[1];  // the lexer saw to it that there is one
    rest.remove_prefix(2);
    if (c == '\n') continue;
    std::size_t simple = 0;
    while (simple < kEscapes.size() && kEscapes[simple] != c) simple += 2;
    if (simple < kEscapes.size()) {
      out.push_back(kEscapes[simple + 1]);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      const std::size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : 8;
      const long code = parse_escape(rest, digits, 16);
      if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        fail_at(template_name, token.line,
                fmt::format("bad or unsupported escape '\\{}' in a string", c));
      append_utf8(out, static_cast<char32_t>(code));
      rest.remove_prefix(digits);
    } else if (c >= '0' && c <= '7') {
      long code = c - '0';
      for (int i = 0; i < 2 && !rest.empty() && rest[0] >= '0' && rest[0] <= '7'; ++i) {
        code = code * 8 + (rest[0] - '0');
        rest.remove_prefix(1);
      }
      append_utf8(out, static_cast<char32_t>(code));
    } else if (c == 'N') {
      fail_at(template_name, token.line, "unsupported escape '\\N' in a string");
    } else {
      out.push_back('\\');
      out.push_back(c);
    }
  }
  return out;
}

}  // namespace haikuda::jinja
