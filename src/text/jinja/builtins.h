// The functions a template can call: filters, tests, methods of values, global functions; and how
// they take their arguments.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace haikuda::jinja {

struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

// The arguments of one call by position in `names`. Fails for an unknown name, one given twice, too
// many, and fewer than `n_required`.
class Bound {
 public:
  Bound(Runtime& runtime,
        std::string_view callee,
        const Args& args,
        std::initializer_list<std::string_view> names,
        std::size_t n_required = 0);

  bool has(std::size_t i) const { return given_[i]; }
  const Value& operator[](std::size_t i) const { return values_[i]; }  // Undefined when not given
  const Text& text(std::size_t i) const;  // fails for anything but a string
  // Null when not given or none.
  const Text* text_or_null(std::size_t i) const;
  std::int64_t integer(std::size_t i, std::int64_t fallback) const;
  bool flag(std::size_t i, bool fallback) const;

 private:
  Runtime& runtime_;
  std::string_view callee_;
  std::vector<Value> values_;
  std::vector<bool> given_;
};

using FilterFunction = Value (*)(Runtime&, const Value& input, const Args&);
using TestFunction = bool (*)(Runtime&, const Value& input, const Args&);

// Null when there is none.
FilterFunction find_filter(std::string_view name);
TestFunction find_test(std::string_view name);
FilterFunction find_text_filter(std::string_view name);      // filters_text.cpp
FilterFunction find_sequence_filter(std::string_view name);  // filters_sequence.cpp

// Fails for an unknown name.
Value apply_filter(Runtime& runtime, std::string_view name, const Value& input, const Args& args);
bool apply_test(Runtime& runtime, std::string_view name, const Value& input, const Args& args);

// The method or property `name` of a text, list, dict, namespace or loop; nothing when there is
// none.
std::optional<Value> find_member(Runtime& runtime, const Value& object, std::string_view name);
std::optional<Value> find_text_method(Runtime& runtime, const Value& text, std::string_view name);

// range, dict, namespace, raise_exception, strftime_now
void define_functions(Runtime& runtime, Scope& scope);

}  // namespace haikuda::jinja
