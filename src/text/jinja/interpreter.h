// Runs a parsed template against its variables.
#pragma once

#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/builtins.h"
#include "text/jinja/runtime.h"

namespace haikuda::jinja {

class Interpreter {
 public:
  // `tree` outlives the interpreter, `scope` holds the variables and functions of the template.
  Interpreter(Runtime& runtime, Scope* scope) : runtime_(runtime), scope_(scope) {}

  Text render(const Tree& tree);

 private:
  enum class Flow { next, break_loop, continue_loop };

  Flow run(const Body& body);
  Flow run(const Statement& statement);
  Flow run_node(const Text& data);
  Flow run_node(const Output& output);
  Flow run_node(const If& node);
  Flow run_node(const For& node);
  Flow run_node(const Set& node);
  Flow run_node(const SetBlock& node);
  Flow run_node(const MacroNode& node);
  Flow run_node(const CallBlock& node);
  Flow run_node(const FilterBlock& node);
  Flow run_node(const With& node);
  Flow run_node(const Break&) { return Flow::break_loop; }
  Flow run_node(const Continue&) { return Flow::continue_loop; }
  // The body in a scope of its own, its output in `text` instead of the current output.
  Flow capture(const Body& body, Text& text);
  void assign(const Target& target, const Value& value, Scope& scope);
  Value call_macro(const Macro& macro, const Args& args);
  void bind_parameters(const MacroNode& node, const Args& args);

  Value eval(const Expr& expr);
  Value eval_node(const Literal& node) { return node.value; }
  Value eval_node(const Name& node);
  Value eval_node(const SequenceLiteral& node);
  Value eval_node(const DictLiteral& node);
  Value eval_node(const Unary& node);
  Value eval_node(const Binary& node);
  Value eval_node(const Logic& node);
  Value eval_node(const Concat& node);
  Value eval_node(const Compare& node);
  Value eval_node(const Conditional& node);
  Value eval_node(const Attribute& node);
  Value eval_node(const Item& node);
  Value eval_node(const Slice& node);
  Value eval_node(const Call& node);
  Value eval_node(const Filter& node);
  Value eval_node(const Test& node);
  Value call(const Value& callee, const Args& args);
  Args eval_arguments(const Arguments& arguments);
  Value eval_filter(const Expr& filter, Text block);

  Runtime& runtime_;
  Scope* scope_;
  Text* output_ = nullptr;
  const Text* block_ = nullptr;  // what a filter without input works on
  int macro_depth_ = 0;
};

}  // namespace haikuda::jinja
