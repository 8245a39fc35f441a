// Values as text: Python's str() and repr(), and json.dumps().
#pragma once

#include <optional>
#include <string>

#include "text/jinja/runtime.h"

namespace haikuda::jinja {

struct JsonStyle {
  bool ensure_ascii = false, sort_keys = false;
  std::optional<std::string> indent;  // of one level; nothing: all on one line
  std::string item_separator = ", ", key_separator = ": ";
};

// str(): what {{ value }} prints. Undefined is empty.
void print(Runtime& runtime, Text& out, const Value& value);
Text to_text(Runtime& runtime, const Value& value);
void print_repr(Runtime& runtime, Text& out, const Value& value);
void print_json(Runtime& runtime, Text& out, const Value& value, const JsonStyle& style);

std::string real_repr(double value);  // repr(float)

}  // namespace haikuda::jinja
