// The syntax tree of a template. A Tree owns all of it; nodes refer to each other by plain
// pointers.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/text.h"
#include "text/jinja/value.h"

namespace haikuda::jinja {

struct Expr;
using Exprs = std::vector<const Expr*>;

struct Arguments {
  Exprs positional;
  std::vector<std::pair<std::string_view, const Expr*>> named;
};

enum class BinaryOp { add, subtract, multiply, divide, floor_divide, modulo, power };
enum class UnaryOp { negate, plus, logical_not };
enum class LogicOp { logical_and, logical_or };
enum class CompareOp { equal, not_equal, less, less_equal, greater, greater_equal, in, not_in };

struct Literal {
  Value value;  // its text is owned by the Tree
};
struct Name {
  std::string_view name;
};
struct SequenceLiteral {
  Exprs items;
  bool is_tuple = false;
};
struct DictLiteral {
  std::vector<std::pair<const Expr*, const Expr*>> entries;
};
struct Unary {
  UnaryOp op;
  const Expr* operand;
};
struct Binary {
  BinaryOp op;
  const Expr *left, *right;
};
struct Logic {
  LogicOp op;
  const Expr *left, *right;
};
struct Concat {
  Exprs parts;
};
struct Compare {
  const Expr* first;
  std::vector<std::pair<CompareOp, const Expr*>> rest;  // a < b < c is a < b and b < c
};
struct Conditional {
  const Expr *test, *yes;
  const Expr* no;  // may be null: undefined
};
struct Attribute {
  const Expr* object;
  std::string_view name;
};
struct Item {
  const Expr *object, *key;
};
struct Slice {
  const Expr* object;
  const Expr *start, *stop, *step;  // each may be null
};
struct Call {
  const Expr* callee;
  Arguments arguments;
};
struct Filter {
  const Expr* input;  // null: the text of the enclosing block
  std::string_view name;
  Arguments arguments;
};
struct Test {
  const Expr* input;
  std::string_view name;
  Arguments arguments;
};

struct Expr {
  int line = 0;
  std::variant<Literal,
               Name,
               SequenceLiteral,
               DictLiteral,
               Unary,
               Binary,
               Logic,
               Concat,
               Compare,
               Conditional,
               Attribute,
               Item,
               Slice,
               Call,
               Filter,
               Test>
      node;
};

// What a value is assigned to: a name, an attribute of a namespace, or a tuple of targets.
struct Target {
  std::string_view name;
  std::string_view attribute;  // empty: the name itself
  std::vector<Target> parts;   // not empty: a tuple
};

struct Statement;
using Body = std::vector<Statement>;

struct Output {
  const Expr* value;
};
struct If {
  std::vector<std::pair<const Expr*, Body>> branches;  // if and elif
  Body otherwise;
};
struct For {
  Target target;
  const Expr* iterable;
  const Expr* test;  // may be null
  Body body, otherwise;
};
struct Set {
  Target target;
  const Expr* value;
};
struct SetBlock {
  Target target;
  const Expr* filter;  // may be null
  Body body;
};
struct MacroNode {
  std::string_view name;
  std::vector<std::pair<std::string_view, const Expr*>> parameters;  // with default or null
  Body body;
  bool uses_caller = false, uses_varargs = false, uses_kwargs = false;
};
struct CallBlock {
  MacroNode caller;
  const Expr* call;
};
struct FilterBlock {
  const Expr* filter;
  Body body;
};
struct With {
  std::vector<std::pair<Target, const Expr*>> values;
  Body body;  // of `generation` too, with no values
};
struct Break {};
struct Continue {};

struct Statement {
  int line = 0;
  std::variant<Text,
               Output,
               If,
               For,
               Set,
               SetBlock,
               MacroNode,
               CallBlock,
               FilterBlock,
               With,
               Break,
               Continue>
      node;
};

struct Tree {
  std::string source;      // names in the nodes are views into it
  std::deque<Expr> exprs;  // freed one by one: a chain of a million operators is no recursion
  std::deque<Text> texts;
  Body body;
};

}  // namespace haikuda::jinja
