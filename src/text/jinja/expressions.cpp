#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace haikuda::jinja {

Value Interpreter::eval(const Expr& expr) {
  const Nesting nesting(runtime_);
  runtime_.charge();
  runtime_.line = expr.line;
  return std::visit([this](const auto& node) { return eval_node(node); }, expr.node);
}

Value Interpreter::eval_node(const Name& node) {
  const Value* value = scope_->find(node.name);
  return value != nullptr
             ? *value
             : runtime_.undefined(fmt::format("'{}' is undefined", printable(node.name, 80)));
}

Value Interpreter::eval_node(const SequenceLiteral& node) {
  std::vector<Value> items;
  for (const Expr* item : node.items) items.push_back(eval(*item));
  return runtime_.list(std::move(items), node.is_tuple ? List::Kind::tuple : List::Kind::list);
}

Value Interpreter::eval_node(const DictLiteral& node) {
  Dict* dict = runtime_.dict();
  for (const auto& [key, value] : node.entries) {
    const Value key_value = eval(*key);
    const auto hashed = dict_key(runtime_, key_value);
    if (!hashed)
      runtime_.fail(fmt::format("'{}' cannot be the key of a dict", type_name(key_value)));
    dict->set(*hashed, key_value, eval(*value));
  }
  return dict;
}

Value Interpreter::eval_node(const Unary& node) {
  const Value operand = eval(*node.operand);
  switch (node.op) {
    case UnaryOp::logical_not:
      return !truth(operand);
    case UnaryOp::negate:
      return negate(runtime_, operand);
    case UnaryOp::plus:
      break;
  }
  return plus(runtime_, operand);
}

Value Interpreter::eval_node(const Binary& node) {
  const int line = runtime_.line;
  const Value left = eval(*node.left);
  const Value right = eval(*node.right);
  runtime_.line = line;
  return binary(runtime_, node.op, left, right);
}

Value Interpreter::eval_node(const Logic& node) {
  const Value left = eval(*node.left);
  const bool decided = truth(left) == (node.op == LogicOp::logical_or);
  return decided ? left : eval(*node.right);
}

Value Interpreter::eval_node(const Concat& node) {
  Text text;
  for (const Expr* part : node.parts) print(runtime_, text, eval(*part));
  return runtime_.text(std::move(text));
}

Value Interpreter::eval_node(const Compare& node) {
  Value left = eval(*node.first);
  for (const auto& [op, expr] : node.rest) {
    const Value right = eval(*expr);
    if (!compare(runtime_, op, left, right)) return false;
    left = right;
  }
  return true;
}

Value Interpreter::eval_node(const Conditional& node) {
  if (truth(eval(*node.test))) return eval(*node.yes);
  if (node.no != nullptr) return eval(*node.no);
  return runtime_.undefined(
      "the inline if-expression evaluated to false and no else section was defined");
}

Value Interpreter::eval_node(const Attribute& node) {
  const int line = runtime_.line;
  const Value object = eval(*node.object);
  runtime_.line = line;
  return get_attribute(runtime_, object, node.name);
}

Value Interpreter::eval_node(const Item& node) {
  const int line = runtime_.line;
  const Value object = eval(*node.object);
  const Value key = eval(*node.key);
  runtime_.line = line;
  return get_item(runtime_, object, key);
}

Value Interpreter::eval_node(const Slice& node) {
  const auto part = [this](const Expr* expr) {
    return expr == nullptr ? Value(None{}) : eval(*expr);
  };
  const Value object = eval(*node.object);
  const Value start = part(node.start), stop = part(node.stop), step = part(node.step);
  return get_slice(runtime_, object, start, stop, step);
}

Value Interpreter::eval_node(const Call& node) {
  const int line = runtime_.line;
  const Value callee = eval(*node.callee);
  const Args args = eval_arguments(node.arguments);
  runtime_.line = line;
  return call(callee, args);
}

Value Interpreter::eval_node(const Filter& node) {
  const int line = runtime_.line;
  const Value input = node.input != nullptr ? eval(*node.input) : runtime_.text(*block_);
  const Args args = eval_arguments(node.arguments);
  runtime_.line = line;
  return apply_filter(runtime_, node.name, input, args);
}

Value Interpreter::eval_node(const Test& node) {
  const int line = runtime_.line;
  const Value input = eval(*node.input);
  const Args args = eval_arguments(node.arguments);
  runtime_.line = line;
  return apply_test(runtime_, node.name, input, args);
}

Value Interpreter::call(const Value& callee, const Args& args) {
  require_defined(runtime_, callee);
  if (const auto* macro = as<const Macro>(callee)) return call_macro(*macro, args);
  const auto* callable = as<const Callable>(callee);
  if (callable == nullptr)
    runtime_.fail(fmt::format("'{}' object is not callable", type_name(callee)));
  return callable->function(runtime_, callable->self, args);
}

Args Interpreter::eval_arguments(const Arguments& arguments) {
  Args args;
  for (const Expr* expr : arguments.positional) args.positional.push_back(eval(*expr));
  for (const auto& [name, expr] : arguments.named) args.named.emplace_back(name, eval(*expr));
  return args;
}

// A chain of filters whose innermost has no input: it gets the text of the block.
Value Interpreter::eval_filter(const Expr& filter, Text block) {
  const Text* outer = std::exchange(block_, &block);
  const Value value = eval(filter);
  block_ = outer;
  return value;
}

}  // namespace haikuda::jinja
