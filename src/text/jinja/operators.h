// Python's operators on values. A type they are not defined for is an Error at the current line.
#pragma once

#include <cstdint>
#include <string_view>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"

namespace haikuda::jinja {

Value binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right);
Value negate(Runtime& runtime, const Value& value);
Value plus(Runtime& runtime, const Value& value);

bool equal(Runtime& runtime, const Value& left, const Value& right);
bool less(Runtime& runtime, const Value& left, const Value& right);
bool compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right);
bool contains(Runtime& runtime, const Value& container, const Value& item);

// The items that a loop over the value sees. A generator is empty afterwards. Not for the value to
// be changed.
List* iterate(Runtime& runtime, const Value& value);
// len()
std::int64_t length(Runtime& runtime, const Value& value);

// object[key] and object.name with jinja2's rules: an attribute that does not exist is undefined,
// either form falls back to the other, methods come before the keys of a dict in object.name.
Value get_item(Runtime& runtime, const Value& object, const Value& key);
Value get_attribute(Runtime& runtime, const Value& object, std::string_view name);
// object[start:stop:step], None where it is left out.
Value get_slice(Runtime& runtime,
                const Value& object,
                const Value& start,
                const Value& stop,
                const Value& step);

[[noreturn]] void fail_undefined(Runtime& runtime, const Undefined& undefined);
// Fails for an undefined value, otherwise does nothing.
void require_defined(Runtime& runtime, const Value& value);

}  // namespace haikuda::jinja
