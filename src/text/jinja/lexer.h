// Splits a template into tokens exactly as jinja2's lexer does with trim_blocks and lstrip_blocks
// set. https://jinja.palletsprojects.com/en/3.1.x/templates/#whitespace-control
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace haikuda::jinja {

enum class TokenKind {
  data,          // text between tags, white space control applied
  begin_output,  // {{
  end_output,
  begin_block,  // {%
  end_block,
  name,
  string,  // with its quotes, escapes not yet decoded
  integer,
  real,
  symbol,  // operator or bracket
  end,
};

struct Token {
  TokenKind kind = TokenKind::end;
  int line = 0;
  std::string_view text;  // into the source

  bool is_symbol(std::string_view symbol) const {
    return kind == TokenKind::symbol && text == symbol;
  }
  bool is_name(std::string_view name) const { return kind == TokenKind::name && text == name; }
};

// Line ends become \n and one trailing line end is dropped, as jinja2 does before it reads a
// template.
std::string normalize_newlines(std::string_view source);

// `source` is normalized and outlives the tokens. The last token is `end`.
std::vector<Token> tokenize(std::string_view source, std::string_view template_name);

// The value of a string token. Error(unsupported) for a malformed escape, \N{…} or a surrogate.
std::string decode_string(const Token& token, std::string_view template_name);

}  // namespace haikuda::jinja
