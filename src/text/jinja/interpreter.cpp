#include "text/jinja/interpreter.h"

#include <algorithm>

#include <fmt/format.h>

#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace haikuda::jinja {
namespace {

// Sets a variable for as long as it lives.
template <class T>
class Swapped {
 public:
  Swapped(T& variable, T value) : variable_(variable), old_(std::exchange(variable, value)) {}
  ~Swapped() { variable_ = old_; }
  Swapped(const Swapped&) = delete;
  Swapped& operator=(const Swapped&) = delete;

 private:
  T& variable_;
  T old_;
};

}  // namespace

Text Interpreter::render(const Tree& tree) {
  Text text;
  const Swapped output(output_, &text);
  run(tree.body);
  return text;
}

Interpreter::Flow Interpreter::run(const Body& body) {
  for (const Statement& statement : body) {
    const Flow flow = run(statement);
    if (flow != Flow::next) return flow;
  }
  return Flow::next;
}

Interpreter::Flow Interpreter::run(const Statement& statement) {
  const Nesting nesting(runtime_);
  runtime_.line = statement.line;
  runtime_.charge();
  return std::visit([this](const auto& node) { return run_node(node); }, statement.node);
}

Interpreter::Flow Interpreter::run_node(const Text& data) {
  runtime_.append(*output_, data);
  return Flow::next;
}

Interpreter::Flow Interpreter::run_node(const Output& output) {
  print(runtime_, *output_, eval(*output.value));
  return Flow::next;
}

Interpreter::Flow Interpreter::run_node(const If& node) {
  for (const auto& [test, body] : node.branches) {
    if (truth(eval(*test))) return run(body);
  }
  return run(node.otherwise);
}

Interpreter::Flow Interpreter::run_node(const For& node) {
  Loop* loop = runtime_.loop();
  loop->source = iterate(runtime_, eval(*node.iterable));
  Scope* outer = scope_;
  if (node.test != nullptr) {
    loop->keep = [this, &node, outer](const Value& item) {
      const Swapped scope(scope_, runtime_.scope(outer));
      assign(node.target, item, *scope_);
      return truth(eval(*node.test));
    };
  }
  bool completed = false;  // some iteration reached its end: otherwise the else branch runs
  while (loop->advance()) {
    runtime_.charge();
    const Swapped scope(scope_, runtime_.scope(outer));
    assign(node.target, loop->current, *scope_);
    scope_->names["loop"] = loop;
    const Flow flow = run(node.body);
    if (flow == Flow::break_loop) break;
    completed |= flow == Flow::next;
  }
  if (completed || node.otherwise.empty()) return Flow::next;
  const Swapped scope(scope_, runtime_.scope(outer));
  return run(node.otherwise);
}

Interpreter::Flow Interpreter::run_node(const Set& node) {
  assign(node.target, eval(*node.value), *scope_);
  return Flow::next;
}

Interpreter::Flow Interpreter::run_node(const SetBlock& node) {
  Text text;
  const Flow flow = capture(node.body, text);
  if (flow != Flow::next) return flow;
  if (node.filter == nullptr)
    assign(node.target, runtime_.text(std::move(text)), *scope_);
  else
    assign(node.target, eval_filter(*node.filter, std::move(text)), *scope_);
  return Flow::next;
}

Interpreter::Flow Interpreter::run_node(const MacroNode& node) {
  scope_->names[node.name] = runtime_.macro(&node, scope_);
  return Flow::next;
}

Interpreter::Flow Interpreter::run_node(const CallBlock& node) {
  const auto& macro_call = std::get<Call>(node.call->node);
  const Value callee = eval(*macro_call.callee);
  Args args = eval_arguments(macro_call.arguments);
  args.named.emplace_back("caller", runtime_.macro(&node.caller, scope_));
  print(runtime_, *output_, call(callee, args));
  return Flow::next;
}

Interpreter::Flow Interpreter::run_node(const FilterBlock& node) {
  Text text;
  const Flow flow = capture(node.body, text);
  if (flow == Flow::next) print(runtime_, *output_, eval_filter(*node.filter, std::move(text)));
  return flow;
}

Interpreter::Flow Interpreter::run_node(const With& node) {
  Scope* inner = runtime_.scope(scope_);
  for (const auto& [target, value] : node.values) assign(target, eval(*value), *inner);
  const Swapped scope(scope_, inner);
  return run(node.body);
}

Interpreter::Flow Interpreter::capture(const Body& body, Text& text) {
  const Swapped scope(scope_, runtime_.scope(scope_));
  const Swapped output(output_, &text);
  return run(body);
}

void Interpreter::assign(const Target& target, const Value& value, Scope& scope) {
  if (!target.parts.empty()) {
    const List* items = iterate(runtime_, value);
    if (items->items.size() != target.parts.size())
      runtime_.fail(fmt::format("{} values cannot be assigned to {} names", items->items.size(),
                                target.parts.size()));
    for (std::size_t i = 0; i < target.parts.size(); ++i)
      assign(target.parts[i], items->items[i], scope);
  } else if (!target.attribute.empty()) {
    const Value* object = scope.find(target.name);
    Namespace* name_space = object == nullptr ? nullptr : as<Namespace>(*object);
    if (name_space == nullptr) runtime_.fail(fmt::format("'{}' is not a namespace", target.name));
    name_space->attributes.set(dict_key(target.attribute), runtime_.text(target.attribute), value);
  } else {
    scope.names[target.name] = value;
  }
}

Value Interpreter::call_macro(const Macro& macro, const Args& args) {
  const Swapped calls(macro_depth_, macro_depth_ + 1);
  if (macro_depth_ > kMaxNesting)
    runtime_.fail(fmt::format("macro '{}' calls itself too deeply", macro.node->name));
  const int line = runtime_.line;
  const Swapped scope(scope_, runtime_.scope(macro.scope));
  bind_parameters(*macro.node, args);
  Text text;
  const Swapped output(output_, &text);
  run(macro.node->body);
  runtime_.line = line;
  return runtime_.text(std::move(text));
}

// Positional arguments, then named ones, then defaults; what is left over goes to varargs and
// kwargs when the macro uses them.
void Interpreter::bind_parameters(const MacroNode& node, const Args& args) {
  auto named = args.named;
  const auto take = [&](std::string_view name) -> std::optional<Value> {
    const auto found = std::find_if(named.begin(), named.end(),
                                    [&](const auto& entry) { return entry.first == name; });
    if (found == named.end()) return std::nullopt;
    const Value value = found->second;
    named.erase(found);
    return value;
  };
  for (std::size_t i = 0; i < node.parameters.size(); ++i) {
    const auto& [name, fallback] = node.parameters[i];
    std::optional<Value> value = i < args.positional.size() ? args.positional[i] : take(name);
    if (!value)
      value = fallback != nullptr
                  ? eval(*fallback)
                  : runtime_.undefined(fmt::format("parameter '{}' was not provided", name));
    scope_->names[name] = *value;
  }
  if (node.uses_caller && !scope_->names.contains("caller")) {
    const auto caller = take("caller");
    scope_->names["caller"] = caller ? *caller : runtime_.undefined("No caller defined");
  }
  const std::size_t n = std::min(args.positional.size(), node.parameters.size());
  if (node.uses_varargs) {
    std::vector<Value> rest(args.positional.begin() + static_cast<std::ptrdiff_t>(n),
                            args.positional.end());
    scope_->names["varargs"] = runtime_.list(std::move(rest), List::Kind::tuple);
  } else if (n < args.positional.size()) {
    runtime_.fail(
        fmt::format("macro '{}' takes at most {} arguments", node.name, node.parameters.size()));
  }
  if (node.uses_kwargs) {
    Dict* kwargs = runtime_.dict();
    for (const auto& [name, value] : named) kwargs->set(dict_key(name), runtime_.text(name), value);
    scope_->names["kwargs"] = kwargs;
  } else if (!named.empty()) {
    runtime_.fail(fmt::format("macro '{}' has no argument '{}'", node.name, named.front().first));
  }
}

}  // namespace haikuda::jinja
