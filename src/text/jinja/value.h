// The values a template computes with. All of them but numbers live in the Heap of one rendering
// (or in the parsed template) and are referred to by plain pointers; none outlives it.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "text/jinja/text.h"

namespace haikuda::jinja {

class Runtime;
struct Args;
struct Callable;
struct Dict;
struct List;
struct Loop;
struct MacroNode;
struct Macro;
struct Namespace;

struct Undefined {
  const std::string* why = nullptr;  // what using it is an error for, such as "'x' is undefined"
};
struct None {};

using Value = std::variant<Undefined,
                           None,
                           bool,
                           std::int64_t,
                           double,
                           const Text*,
                           List*,
                           Dict*,
                           Namespace*,
                           Loop*,
                           const Callable*,
                           const Macro*>;

template <class T>
T* as(const Value& value) {
  auto* pointer = std::get_if<T*>(&value);
  return pointer == nullptr ? nullptr : *pointer;
}
inline const Text* as_text(const Value& value) {
  return as<const Text>(value);
}
inline bool is_undefined(const Value& value) {
  return std::holds_alternative<Undefined>(value);
}
inline bool is_none(const Value& value) {
  return std::holds_alternative<None>(value);
}
std::optional<std::int64_t> as_integer(const Value& value);  // an int or a bool, as in Python
std::optional<double> as_number(const Value& value);         // an int, a bool or a float

// Everything with a sequence of items; `kind` says what Python would have there.
struct List {
  enum class Kind { list, tuple, range, keys, values, items, generator };
  Kind kind = Kind::list;
  std::vector<Value> items;  // of a generator: what has not been consumed

  bool indexable() const { return kind <= Kind::range; }
};

// Keeps insertion order. Keys are compared as in Python: 1, 1.0 and true are the same key.
struct Dict {
  std::vector<std::pair<Value, Value>> entries;
  std::unordered_map<std::string, std::size_t> index;  // dict_key() -> position in entries

  const Value* find(const std::string& key) const;
  void set(const std::string& key, const Value& key_value, const Value& value);
  std::optional<Value> take(const std::string& key);
};
// A string that is equal for equal keys; nothing for a value that cannot be a key.
std::optional<std::string> dict_key(Runtime& runtime, const Value& value);
std::string dict_key(std::string_view text);

struct Namespace {
  Dict attributes;
};

struct Scope {
  Scope* parent = nullptr;
  std::unordered_map<std::string_view, Value> names;

  const Value* find(std::string_view name) const;
};

// A function of ours or a bound method.
struct Callable {
  std::string_view name;
  Value self;
  Value (*function)(Runtime&, const Value& self, const Args&) = nullptr;
};

struct Macro {
  const MacroNode* node = nullptr;
  Scope* scope = nullptr;  // where it was defined
};

// A running for-loop: jinja2's LoopContext. Items are tested and taken one at a time, as they are
// needed.
struct Loop {
  List* source = nullptr;
  std::function<bool(const Value&)> keep;  // the loop's filter clause; empty: all items
  std::size_t position = 0;                // of the next item in source
  std::int64_t index0 = -1;
  std::optional<Value> after;  // the next item when it has been looked at
  Value current, before;
  std::optional<std::int64_t> known_length;
  std::optional<std::vector<Value>> last_changed;

  bool advance();
  bool has_next();
  std::int64_t length(Runtime& runtime);

 private:
  std::optional<Value> pull();
};

bool truth(const Value& value);
// Python's name of the type: "str", "dict", …
std::string_view type_name(const Value& value);
std::string_view type_name(const List& list);

}  // namespace haikuda::jinja
