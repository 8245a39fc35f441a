// Expressions.
#include "text/jinja/parser.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/limits.h"

namespace haikuda::jinja {
namespace {

std::string without_underscores(std::string_view digits) {
  std::string out(digits);
  std::erase(out, '_');
  return out;
}

}  // namespace

const Expr* Parser::parse_tuple(const Expr* (Parser::*one)(),
                                std::string_view end,
                                bool in_parentheses) {
  const int line = current().line;
  SequenceLiteral tuple{{}, true};
  bool has_comma = false;
  for (;;) {
    const TokenKind kind = current().kind;
    if (kind == TokenKind::end_output || kind == TokenKind::end_block || current().is_symbol(")") ||
        (!end.empty() && current().is_name(end)))
      break;
    tuple.items.push_back((this->*one)());
    if (!skip_symbol(",")) break;
    has_comma = true;
  }
  if (!has_comma && tuple.items.size() == 1) return tuple.items.front();
  if (tuple.items.empty() && !in_parentheses) fail_unexpected("an expression");
  return add(line, std::move(tuple));
}

const Expr* Parser::parse_conditional() {
  const Level level(*this);
  const Expr* value = parse_or();
  while (current().is_name("if")) {
    const int line = take().line;
    const Expr* test = parse_or();
    const Expr* otherwise = skip_name("else") ? parse_conditional() : nullptr;
    value = add(line, Conditional{test, value, otherwise});
  }
  return value;
}

const Expr* Parser::parse_or() {
  const Expr* left = parse_and();
  while (current().is_name("or")) {
    const int line = take().line;
    left = add(line, Logic{LogicOp::logical_or, left, parse_and()});
  }
  return left;
}

const Expr* Parser::parse_and() {
  const Expr* left = parse_not();
  while (current().is_name("and")) {
    const int line = take().line;
    left = add(line, Logic{LogicOp::logical_and, left, parse_not()});
  }
  return left;
}

const Expr* Parser::parse_not() {
  if (!current().is_name("not")) return parse_compare();
  const Level level(*this);
  const int line = take().line;
  return add(line, Unary{UnaryOp::logical_not, parse_not()});
}

const Expr* Parser::parse_compare() {
  static constexpr std::pair<std::string_view, CompareOp> kOperators[] = {
      {"==", CompareOp::equal},  {"!=", CompareOp::not_equal},
      {"<", CompareOp::less},    {"<=", CompareOp::less_equal},
      {">", CompareOp::greater}, {">=", CompareOp::greater_equal}};
  const int line = current().line;
  Compare compare{parse_sum(), {}};
  for (;;) {
    const auto* op =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [this](const auto& entry) { return current().is_symbol(entry.first); });
    if (op != std::end(kOperators)) {
      take();
      compare.rest.emplace_back(op->second, parse_sum());
    } else if (skip_name("in")) {
      compare.rest.emplace_back(CompareOp::in, parse_sum());
    } else if (current().is_name("not") && next().is_name("in")) {
      take(), take();
      compare.rest.emplace_back(CompareOp::not_in, parse_sum());
    } else {
      break;
    }
  }
  return compare.rest.empty() ? compare.first : add(line, std::move(compare));
}

const Expr* Parser::parse_sum() {
  const Expr* left = parse_concat();
  while (current().is_symbol("+") || current().is_symbol("-")) {
    const Token op = take();
    left = add(op.line,
               Binary{op.text == "+" ? BinaryOp::add : BinaryOp::subtract, left, parse_concat()});
  }
  return left;
}

const Expr* Parser::parse_concat() {
  const int line = current().line;
  Concat concat{{parse_product()}};
  while (skip_symbol("~")) concat.parts.push_back(parse_product());
  return concat.parts.size() == 1 ? concat.parts.front() : add(line, std::move(concat));
}

const Expr* Parser::parse_product() {
  static constexpr std::pair<std::string_view, BinaryOp> kOperators[] = {
      {"*", BinaryOp::multiply},
      {"/", BinaryOp::divide},
      {"//", BinaryOp::floor_divide},
      {"%", BinaryOp::modulo}};
  const Expr* left = parse_power();
  for (;;) {
    const auto* op =
        std::find_if(std::begin(kOperators), std::end(kOperators),
                     [this](const auto& entry) { return current().is_symbol(entry.first); });
    if (op == std::end(kOperators)) return left;
    const int line = take().line;
    left = add(line, Binary{op->second, left, parse_power()});
  }
}

// Unlike in Python, ** binds to the left and looser than a sign.
const Expr* Parser::parse_power() {
  const Expr* left = parse_unary();
  while (current().is_symbol("**")) {
    const int line = take().line;
    left = add(line, Binary{BinaryOp::power, left, parse_unary()});
  }
  return left;
}

const Expr* Parser::parse_signed() {
  if (!current().is_symbol("-") && !current().is_symbol("+")) return parse_postfix(parse_primary());
  const Level level(*this);
  const Token sign = take();
  const UnaryOp op = sign.text == "-" ? UnaryOp::negate : UnaryOp::plus;
  return parse_postfix(add(sign.line, Unary{op, parse_signed()}));
}

const Expr* Parser::parse_primary() {
  switch (current().kind) {
    case TokenKind::name:
      return parse_name();
    case TokenKind::string:
    case TokenKind::integer:
    case TokenKind::real:
      return parse_literal();
    default:
      break;
  }
  if (current().is_symbol("[")) return parse_list();
  if (current().is_symbol("{")) return parse_dict();
  if (!skip_symbol("(")) fail_unexpected("an expression");
  const Expr* inner = parse_tuple(&Parser::parse_expression, {}, true);
  expect_symbol(")");
  return inner;
}

const Expr* Parser::parse_name() {
  const Token token = take();
  const std::string_view name = token.text;
  if (name == "true" || name == "True") return add(token.line, Literal{true});
  if (name == "false" || name == "False") return add(token.line, Literal{false});
  if (name == "none" || name == "None") return add(token.line, Literal{None{}});
  for (MacroNode* macro : macros_) {
    macro->uses_caller |= name == "caller";
    macro->uses_varargs |= name == "varargs";
    macro->uses_kwargs |= name == "kwargs";
  }
  return add(token.line, Name{name});
}

const Expr* Parser::parse_literal() {
  const Token token = take();
  if (token.kind == TokenKind::string) {
    std::string text = decode_string(token, template_name_);
    while (current().kind == TokenKind::string) text += decode_string(take(), template_name_);
    return add(token.line, Literal{&tree_.texts.emplace_back(text, false)});
  }
  const std::string digits = without_underscores(token.text);
  const char* end = digits.data() + digits.size();
  if (token.kind == TokenKind::real) {
    double value = 0;
    if (std::from_chars(digits.data(), end, value).ec != std::errc())
      fail("a number out of range", token.line);
    return add(token.line, Literal{value});
  }
  std::int64_t value = 0;
  if (std::from_chars(digits.data(), end, value).ec != std::errc())
    fail("an integer of more than 64 bits is not supported", token.line);
  return add(token.line, Literal{value});
}

const Expr* Parser::parse_list() {
  const int line = take().line;
  SequenceLiteral list;
  while (!current().is_symbol("]")) {
    if (!list.items.empty()) expect_symbol(",");
    if (current().is_symbol("]")) break;
    list.items.push_back(parse_expression());
  }
  take();
  return add(line, std::move(list));
}

const Expr* Parser::parse_dict() {
  const int line = take().line;
  DictLiteral dict;
  while (!current().is_symbol("}")) {
    if (!dict.entries.empty()) expect_symbol(",");
    if (current().is_symbol("}")) break;
    const Expr* key = parse_expression();
    expect_symbol(":");
    dict.entries.emplace_back(key, parse_expression());
  }
  take();
  return add(line, std::move(dict));
}

const Expr* Parser::parse_postfix(const Expr* object) {
  for (;;) {
    const int line = current().line;
    if (skip_symbol(".")) {
      object = parse_attribute(object);
    } else if (skip_symbol("[")) {
      object = parse_subscript(object);
    } else if (current().is_symbol("(")) {
      object = add(line, Call{object, parse_arguments()});
    } else {
      return object;
    }
  }
}

const Expr* Parser::parse_attribute(const Expr* object) {
  const int line = current().line;
  if (current().kind == TokenKind::integer) return add(line, Item{object, parse_literal()});
  return add(line, Attribute{object, expect(TokenKind::name, "the name of an attribute").text});
}

const Expr* Parser::parse_subscript(const Expr* object) {
  const int line = current().line;
  const auto at_end = [this] { return current().is_symbol(":") || current().is_symbol("]"); };
  const Expr* start = at_end() ? nullptr : parse_expression();
  if (!skip_symbol(":")) {
    if (start == nullptr) fail_unexpected("an index");
    if (current().is_symbol(",")) fail("a tuple as an index is not supported");
    expect_symbol("]");
    return add(line, Item{object, start});
  }
  const Expr* stop = at_end() ? nullptr : parse_expression();
  const Expr* step = skip_symbol(":") && !at_end() ? parse_expression() : nullptr;
  expect_symbol("]");
  return add(line, Slice{object, start, stop, step});
}

const Expr* Parser::parse_filters_and_tests(const Expr* input) {
  for (;;) {
    const int line = current().line;
    if (skip_symbol("|")) {
      input = parse_filter(input);
    } else if (skip_name("is")) {
      input = parse_test(input);
    } else if (current().is_symbol("(")) {
      input = add(line, Call{input, parse_arguments()});
    } else {
      return input;
    }
  }
}

std::string_view Parser::parse_dotted_name() {
  const Token name = expect(TokenKind::name, "the name of a filter or test");
  if (current().is_symbol("."))
    fail(fmt::format("unknown filter or test '{}.{}'", name.text, next().text));
  return name.text;
}

const Expr* Parser::parse_filter(const Expr* input) {
  const int line = current().line;
  const std::string_view name = parse_dotted_name();
  return add(line, Filter{input, name, current().is_symbol("(") ? parse_arguments() : Arguments{}});
}

const Expr* Parser::parse_test(const Expr* input) {
  const Level level(*this);
  const int line = current().line;
  const bool negated = skip_name("not");
  Test test{input, parse_dotted_name(), {}};
  const Token& token = current();
  const bool has_operand =
      token.kind == TokenKind::name
          ? !(token.text == "else" || token.text == "or" || token.text == "and")
      : token.kind == TokenKind::symbol
          ? token.text == "[" || token.text == "{"
          : token.kind == TokenKind::string || token.kind == TokenKind::integer ||
                token.kind == TokenKind::real;
  if (token.is_symbol("(")) {
    test.arguments = parse_arguments();
  } else if (has_operand) {
    if (token.is_name("is")) fail("tests cannot be chained with 'is'");
    test.arguments.positional = {parse_postfix(parse_primary())};
  }
  const Expr* result = add(line, std::move(test));
  return negated ? add(line, Unary{UnaryOp::logical_not, result}) : result;
}

Arguments Parser::parse_arguments() {
  const Level level(*this);
  Arguments arguments;
  expect_symbol("(");
  bool is_first = true;
  while (!current().is_symbol(")")) {
    if (!is_first) expect_symbol(",");
    if (current().is_symbol(")")) break;
    is_first = false;
    if (arguments.positional.size() + arguments.named.size() == kMaxArguments)
      fail(fmt::format("more than {} arguments in a call", kMaxArguments));
    if (current().is_symbol("*") || current().is_symbol("**"))
      fail("'*' arguments in a call are not supported");
    if (current().kind == TokenKind::name && next().is_symbol("=")) {
      const std::string_view name = take().text;
      take();
      arguments.named.emplace_back(name, parse_expression());
    } else {
      if (!arguments.named.empty()) fail("a positional argument after a named one");
      arguments.positional.push_back(parse_expression());
    }
  }
  take();
  return arguments;
}

}  // namespace haikuda::jinja
