// What one rendering shares: all it allocates, its budget, and where in the template it is.
#pragma once

#include <ctime>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace haikuda::jinja {

// Error(unsupported) "NAME: line LINE: PROBLEM"; line 0: not at a line of the template.
[[noreturn]] void fail_at(std::string_view template_name, int line, std::string_view problem);

class Runtime {
 public:
  Runtime(std::string_view template_name, std::time_t time)
      : now(time), template_name_(template_name) {}
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  [[noreturn]] void fail(std::string_view problem) const { fail_at(template_name_, line, problem); }
  [[noreturn]] void fail_too_long() const;  // a text of more than kMaxTextBytes
  // Error(usage): the template itself refuses this conversation.
  [[noreturn]] void refuse(std::string_view message) const;

  // Pays for one step that handles that many bytes; fails when the budget is spent.
  void charge(std::size_t bytes = 0) { pay(kBytesPerStep + bytes); }
  // The same for that many items, or bytes of decoded characters, that are looked at one by one.
  void charge_items(std::size_t n) { charge(n * kBytesPerItem); }
  void charge_chars(std::size_t bytes) { charge(bytes * kBytesPerChar); }
  // out += piece, paid for and within kMaxTextBytes.
  void append(Text& out, const Text& piece) { append(out, piece, 0, piece.size()); }
  void append(Text& out, const Text& piece, std::size_t begin, std::size_t end);
  void append(Text& out, std::string_view bytes, bool from_input = false);

  Value text(Text text);
  Value text(std::string_view bytes) { return text(Text(bytes, false)); }
  List* list(std::vector<Value> items, List::Kind kind = List::Kind::list);
  Dict* dict();
  Namespace* name_space() { return &namespaces_.emplace_back(); }
  Scope* scope(Scope* parent) { return &scopes_.emplace_back(Scope{parent, {}}); }
  Loop* loop() { return &loops_.emplace_back(); }
  Value macro(const MacroNode* node, Scope* scope) {
    return &macros_.emplace_back(Macro{node, scope});
  }
  Value callable(const Callable& callable) { return &callables_.emplace_back(callable); }
  Value undefined(std::string why) { return Undefined{&reasons_.emplace_back(std::move(why))}; }

  std::time_t now;
  int line = 0;   // of what is being evaluated
  int depth = 0;  // see Nesting

 private:
  void pay(std::size_t bytes);
  void make_room(const Text& out, std::size_t bytes);

  std::string_view template_name_;
  std::size_t paid_ = 0;  // bytes; a step counts as kBytesPerStep
  // Deques: addresses stay. Freed together, so that no structure a template builds recurses here.
  std::deque<Text> texts_;
  std::deque<List> lists_;
  std::deque<Dict> dicts_;
  std::deque<Namespace> namespaces_;
  std::deque<Scope> scopes_;
  std::deque<Loop> loops_;
  std::deque<Macro> macros_;
  std::deque<Callable> callables_;
  std::deque<std::string> reasons_;
};

// One level of recursion for as long as it lives; fails below kMaxDepth levels.
class Nesting {
 public:
  explicit Nesting(Runtime& runtime) : runtime_(runtime) {
    if (++runtime_.depth > kMaxDepth) runtime_.fail("nested too deeply");
  }
  ~Nesting() { --runtime_.depth; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Runtime& runtime_;
};

}  // namespace haikuda::jinja
