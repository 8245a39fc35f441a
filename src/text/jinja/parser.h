// Parses a template into a Tree, with the grammar of jinja2 3.1 and the extensions that Hugging
// Face adds (break, continue, generation). Template inheritance, includes and other I/O do not
// exist here.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace haikuda::jinja {

// Error(unsupported) naming line and construct for a template that is malformed, too large or uses
// what is not supported.
std::unique_ptr<const Tree> parse(std::string_view source, std::string_view template_name);

class Parser {
 public:
  Parser(Tree& tree, std::string_view template_name);
  void parse_template() { tree_.body = parse_body({}); }

 private:
  // Statements (parse_statements.cpp). Each is called with its keyword as the current token.
  Body parse_body(std::initializer_list<std::string_view> end_names);
  Body parse_block(
      std::initializer_list<std::string_view> end_names);  // a tag's end, then parse_body
  Statement parse_statement();
  Statement parse_if();
  Statement parse_for();
  Statement parse_set();
  Statement parse_macro();
  Statement parse_call_block();
  Statement parse_filter_block();
  Statement parse_with();
  Statement parse_generation();
  Statement parse_loop_control();
  void parse_parameters(MacroNode& macro);
  void parse_macro_body(MacroNode& macro, std::string_view end_name);
  Target parse_target(bool allow_attribute);
  Target to_target(const Expr& expr) const;

  // Expressions (parser.cpp), loosest binding first.
  const Expr* parse_expression() { return parse_conditional(); }
  // With commas: a tuple. Ends at the name `end`; `one` parses an item.
  const Expr* parse_tuple(const Expr* (Parser::*one)(),
                          std::string_view end = {},
                          bool in_parentheses = false);
  const Expr* parse_conditional();
  const Expr* parse_or();
  const Expr* parse_and();
  const Expr* parse_not();
  const Expr* parse_compare();
  const Expr* parse_sum();
  const Expr* parse_concat();
  const Expr* parse_product();
  const Expr* parse_power();
  const Expr* parse_unary() { return parse_filters_and_tests(parse_signed()); }
  const Expr* parse_signed();
  const Expr* parse_primary();
  const Expr* parse_name();
  const Expr* parse_literal();
  const Expr* parse_list();
  const Expr* parse_dict();
  const Expr* parse_postfix(const Expr* object);
  const Expr* parse_attribute(const Expr* object);
  const Expr* parse_subscript(const Expr* object);
  const Expr* parse_filters_and_tests(const Expr* input);
  const Expr* parse_filter(const Expr* input);  // at the filter's name
  const Expr* parse_test(const Expr* input);
  std::string_view parse_dotted_name();
  Arguments parse_arguments();

  // Tokens.
  const Token& current() const { return tokens_[position_]; }
  const Token& next() const { return tokens_[std::min(position_ + 1, tokens_.size() - 1)]; }
  Token take() { return tokens_[position_ + 1 < tokens_.size() ? position_++ : position_]; }
  bool skip_symbol(std::string_view symbol);
  bool skip_name(std::string_view name);
  Token expect(TokenKind kind, std::string_view what);
  void expect_symbol(std::string_view symbol);
  [[noreturn]] void fail(std::string_view problem) const { fail(problem, current().line); }
  [[noreturn]] void fail(std::string_view problem, int line) const;
  [[noreturn]] void fail_unexpected(std::string_view expected) const;

  const Expr* add(int line, decltype(Expr::node) node) {
    return &tree_.exprs.emplace_back(Expr{line, std::move(node)});
  }

  // One level of nesting in the source for as long as it lives.
  struct Level {
    explicit Level(Parser& parser);
    ~Level() { --parser.level_; }
    Parser& parser;
  };

  Tree& tree_;
  std::string_view template_name_;
  std::vector<Token> tokens_;
  std::size_t position_ = 0;
  int level_ = 0;
  int loops_ = 0;                   // around the current statement, in its macro
  std::vector<MacroNode*> macros_;  // around the current statement
};

}  // namespace haikuda::jinja
