// The way through the tokens, and statements.
#include <algorithm>

#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/limits.h"
#include "text/jinja/parser.h"
#include "text/jinja/runtime.h"

namespace haikuda::jinja {

std::unique_ptr<const Tree> parse(std::string_view source, std::string_view template_name) {
  if (source.size() > kMaxTemplateBytes)
    fail_at(template_name, 0,
            fmt::format("the template has {} bytes, at most {} are accepted", source.size(),
                        kMaxTemplateBytes));
  auto tree = std::make_unique<Tree>();
  tree->source = normalize_newlines(source);
  Parser(*tree, template_name).parse_template();
  return tree;
}

Parser::Parser(Tree& tree, std::string_view template_name)
    : tree_(tree), template_name_(template_name), tokens_(tokenize(tree.source, template_name)) {}

void Parser::fail(std::string_view problem, int line) const {
  fail_at(template_name_, line, problem);
}

void Parser::fail_unexpected(std::string_view expected) const {
  const Token& token = current();
  const std::string found = token.kind == TokenKind::end           ? "the end of the template"
                            : token.kind == TokenKind::data        ? "text"
                            : token.kind == TokenKind::begin_block ? "'{%'"
                            : token.kind == TokenKind::begin_output
                                ? "'{{'"
                                : fmt::format("'{}'", printable(token.text, 40));
  fail(fmt::format("expected {}, found {}", expected, found));
}

Parser::Level::Level(Parser& owner) : parser(owner) {
  if (++parser.level_ > kMaxNesting)
    parser.fail(fmt::format("nested deeper than {} levels", kMaxNesting));
}

bool Parser::skip_symbol(std::string_view symbol) {
  if (!current().is_symbol(symbol)) return false;
  take();
  return true;
}

bool Parser::skip_name(std::string_view name) {
  if (!current().is_name(name)) return false;
  take();
  return true;
}

Token Parser::expect(TokenKind kind, std::string_view what) {
  if (current().kind != kind) fail_unexpected(what);
  return take();
}

void Parser::expect_symbol(std::string_view symbol) {
  if (!skip_symbol(symbol)) fail_unexpected(fmt::format("'{}'", symbol));
}

// Statements up to a tag that begins with one of `end_names` (which becomes the current token), or
// up to the end of the template when there are none.
Body Parser::parse_body(std::initializer_list<std::string_view> end_names) {
  const Level level(*this);
  Body body;
  for (;;) {
    const Token& token = current();
    if (token.kind == TokenKind::data) {
      body.push_back({token.line, Text(token.text, false)});
      take();
    } else if (token.kind == TokenKind::begin_output) {
      const int line = take().line;
      body.push_back({line, Output{parse_tuple(&Parser::parse_expression)}});
      expect(TokenKind::end_output, "'}}'");
    } else if (token.kind == TokenKind::begin_block) {
      take();
      if (current().kind != TokenKind::name) fail_unexpected("the name of a statement");
      if (std::find(end_names.begin(), end_names.end(), current().text) != end_names.end())
        return body;
      body.push_back(parse_statement());
      expect(TokenKind::end_block, "'%}'");
    } else {
      if (end_names.size() > 0)
        fail_unexpected(fmt::format("'{}'", fmt::join(end_names, "' or '")));
      return body;
    }
  }
}

Body Parser::parse_block(std::initializer_list<std::string_view> end_names) {
  skip_symbol(":");
  expect(TokenKind::end_block, "'%}'");
  return parse_body(end_names);
}

Statement Parser::parse_statement() {
  static constexpr std::pair<std::string_view, Statement (Parser::*)()> kStatements[] = {
      {"if", &Parser::parse_if},
      {"for", &Parser::parse_for},
      {"set", &Parser::parse_set},
      {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call_block},
      {"filter", &Parser::parse_filter_block},
      {"with", &Parser::parse_with},
      {"generation", &Parser::parse_generation},
      {"break", &Parser::parse_loop_control},
      {"continue", &Parser::parse_loop_control}};
  const auto* found =
      std::find_if(std::begin(kStatements), std::end(kStatements),
                   [this](const auto& entry) { return entry.first == current().text; });
  if (found == std::end(kStatements))
    fail(fmt::format("statement '{}' is not supported here", printable(current().text, 40)));
  const int line = current().line;
  Statement statement = (this->*found->second)();
  statement.line = line;
  return statement;
}

Statement Parser::parse_if() {
  If node;
  do {
    take();
    const Expr* test = parse_tuple(&Parser::parse_or);
    node.branches.emplace_back(test, parse_block({"elif", "else", "endif"}));
  } while (current().is_name("elif"));
  if (skip_name("else")) node.otherwise = parse_block({"endif"});
  take();
  return {0, std::move(node)};
}

Statement Parser::parse_for() {
  take();
  For node;
  ++loops_;
  node.target = to_target(*parse_tuple(&Parser::parse_primary, "in"));
  if (!skip_name("in")) fail_unexpected("'in'");
  node.iterable = parse_tuple(&Parser::parse_or, "recursive");
  node.test = skip_name("if") ? parse_expression() : nullptr;
  if (current().is_name("recursive")) fail("a recursive loop is not supported");
  node.body = parse_block({"endfor", "else"});
  --loops_;
  if (skip_name("else")) node.otherwise = parse_block({"endfor"});
  take();
  return {0, std::move(node)};
}

Statement Parser::parse_set() {
  take();
  Target target = parse_target(true);
  if (skip_symbol("=")) return {0, Set{std::move(target), parse_tuple(&Parser::parse_expression)}};
  const Expr* filter = nullptr;
  while (skip_symbol("|")) filter = parse_filter(filter);
  SetBlock node{std::move(target), filter, parse_block({"endset"})};
  take();
  return {0, std::move(node)};
}

Target Parser::parse_target(bool allow_attribute) {
  if (allow_attribute && next().is_symbol(".")) {
    const std::string_view name = expect(TokenKind::name, "a name").text;
    take();
    return {name, expect(TokenKind::name, "the name of an attribute").text, {}};
  }
  return to_target(*parse_tuple(&Parser::parse_primary));
}

Target Parser::to_target(const Expr& expr) const {
  if (const auto* name = std::get_if<Name>(&expr.node)) {
    if (loops_ > 0 && name->name == "loop") fail("'loop' cannot be assigned to", expr.line);
    return {name->name, {}, {}};
  }
  const auto* tuple = std::get_if<SequenceLiteral>(&expr.node);
  if (tuple == nullptr || !tuple->is_tuple || tuple->items.empty())
    fail("this cannot be assigned to; expected a name or a tuple of names", expr.line);
  Target target;
  for (const Expr* item : tuple->items) target.parts.push_back(to_target(*item));
  return target;
}

// `(name, name=default, …)`
void Parser::parse_parameters(MacroNode& macro) {
  expect_symbol("(");
  while (!current().is_symbol(")")) {
    if (!macro.parameters.empty()) expect_symbol(",");
    const std::string_view name = expect(TokenKind::name, "the name of a parameter").text;
    const Expr* fallback = skip_symbol("=") ? parse_expression() : nullptr;
    if (fallback == nullptr && !macro.parameters.empty() &&
        macro.parameters.back().second != nullptr)
      fail(fmt::format("parameter '{}' without default after one with a default", name));
    if (macro.parameters.size() == kMaxArguments) fail("too many parameters of a macro");
    macro.parameters.emplace_back(name, fallback);
  }
  take();
}

void Parser::parse_macro_body(MacroNode& macro, std::string_view end_name) {
  const int loops = std::exchange(loops_, 0);  // break does not leave a macro
  macros_.push_back(&macro);
  macro.body = parse_block({end_name});
  macros_.pop_back();
  loops_ = loops;
  take();
}

Statement Parser::parse_macro() {
  take();
  MacroNode node;
  node.name = expect(TokenKind::name, "the name of the macro").text;
  parse_parameters(node);
  parse_macro_body(node, "endmacro");
  return {0, std::move(node)};
}

Statement Parser::parse_call_block() {
  take();
  CallBlock node;
  node.caller.name = "caller";
  if (current().is_symbol("(")) parse_parameters(node.caller);
  node.call = parse_expression();
  if (!std::holds_alternative<Call>(node.call->node)) fail("expected a call", node.call->line);
  parse_macro_body(node.caller, "endcall");
  return {0, std::move(node)};
}

Statement Parser::parse_filter_block() {
  take();
  const Expr* filter = parse_filter(nullptr);
  while (skip_symbol("|")) filter = parse_filter(filter);
  FilterBlock node{filter, parse_block({"endfilter"})};
  take();
  return {0, std::move(node)};
}

Statement Parser::parse_with() {
  take();
  With node;
  while (current().kind != TokenKind::end_block && !current().is_symbol(":")) {
    if (!node.values.empty()) expect_symbol(",");
    Target target = to_target(*parse_primary());
    expect_symbol("=");
    node.values.emplace_back(std::move(target), parse_expression());
  }
  node.body = parse_block({"endwith"});
  take();
  return {0, std::move(node)};
}

// Hugging Face's mark around what the assistant wrote, for training; here a plain block.
Statement Parser::parse_generation() {
  take();
  With node;
  const int loops = std::exchange(loops_, 0);
  node.body = parse_block({"endgeneration"});
  loops_ = loops;
  take();
  return {0, std::move(node)};
}

Statement Parser::parse_loop_control() {
  const Token token = take();
  if (loops_ == 0) fail(fmt::format("'{}' outside of a loop", token.text), token.line);
  if (token.text == "break") return {0, Break{}};
  return {0, Continue{}};
}

}  // namespace haikuda::jinja
