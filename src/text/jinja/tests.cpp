// The tests after `is`.
#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/builtins.h"
#include "text/jinja/chars.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

namespace haikuda::jinja {
namespace {

// A test of the value alone.
template <bool (*kHolds)(const Value&)>
bool plain(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "test", args, {});
  return kHolds(value);
}

bool is_defined(const Value& value) {
  return !is_undefined(value);
}
bool is_boolean(const Value& value) {
  return std::holds_alternative<bool>(value);
}
bool is_true(const Value& value) {
  return is_boolean(value) && std::get<bool>(value);
}
bool is_false(const Value& value) {
  return is_boolean(value) && !std::get<bool>(value);
}
bool is_integer(const Value& value) {
  return std::holds_alternative<std::int64_t>(value);
}
bool is_float(const Value& value) {
  return std::holds_alternative<double>(value);
}
bool is_number(const Value& value) {
  return as_number(value).has_value();
}
bool is_string(const Value& value) {
  return as_text(value) != nullptr;
}
bool is_mapping(const Value& value) {
  return as<Dict>(value) != nullptr;
}
bool never(const Value&) {
  return false;
}

bool is_sequence(const Value& value) {
  const List* list = as<List>(value);
  return is_string(value) || is_mapping(value) || is_undefined(value) ||
         (list != nullptr && list->indexable());
}
bool is_iterable(const Value& value) {
  return is_string(value) || is_mapping(value) || is_undefined(value) ||
         as<List>(value) != nullptr || as<Loop>(value) != nullptr;
}
bool is_callable(const Value& value) {
  return is_undefined(value) || as<const Callable>(value) != nullptr ||
         as<const Macro>(value) != nullptr || as<Loop>(value) != nullptr;
}

template <std::int64_t kBy, std::int64_t kRest>
bool test_modulo(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "test", args, {});
  return equal(runtime, binary(runtime, BinaryOp::modulo, value, kBy), kRest);
}
bool test_divisibleby(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "divisibleby", args, {"num"}, 1);
  return equal(runtime, binary(runtime, BinaryOp::modulo, value, bound[0]), std::int64_t{0});
}

// str.islower and str.isupper: some character has case, and none has the other one.
template <Text (*kMap)(Runtime&, const Text&)>
bool test_case(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "test", args, {});
  const Text text = to_text(runtime, value);
  return kMap(runtime, text).view() == text.view() &&
         (lower(runtime, text).view() != text.view() || upper(runtime, text).view() != text.view());
}

template <CompareOp kOp>
bool test_compare(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "test", args, {"other"}, 1);
  return compare(runtime, kOp, value, bound[0]);
}

bool test_filter(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "filter", args, {});
  if (is_string(value)) runtime.charge(as_text(value)->size());
  return is_string(value) && find_filter(as_text(value)->view()) != nullptr;
}

bool test_test(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "test", args, {});
  if (is_string(value)) runtime.charge(as_text(value)->size());
  return is_string(value) && find_test(as_text(value)->view()) != nullptr;
}

// The same object; numbers and strings of one type are taken as the same when they are equal.
bool test_sameas(Runtime& runtime, const Value& value, const Args& args) {
  const Bound bound(runtime, "sameas", args, {"other"}, 1);
  if (value.index() != bound[0].index() || is_undefined(value)) return false;
  if (List* list = as<List>(value)) return list == as<List>(bound[0]);
  if (Dict* dict = as<Dict>(value)) return dict == as<Dict>(bound[0]);
  return equal(runtime, value, bound[0]);
}

}  // namespace

TestFunction find_test(std::string_view name) {
  static const std::unordered_map<std::string_view, TestFunction> kTests = {
      {"!=", test_compare<CompareOp::not_equal>},
      {"<", test_compare<CompareOp::less>},
      {"<=", test_compare<CompareOp::less_equal>},
      {"==", test_compare<CompareOp::equal>},
      {">", test_compare<CompareOp::greater>},
      {">=", test_compare<CompareOp::greater_equal>},
      {"boolean", plain<is_boolean>},
      {"callable", plain<is_callable>},
      {"defined", plain<is_defined>},
      {"divisibleby", test_divisibleby},
      {"eq", test_compare<CompareOp::equal>},
      {"equalto", test_compare<CompareOp::equal>},
      {"escaped", plain<never>},
      {"even", test_modulo<2, 0>},
      {"false", plain<is_false>},
      {"filter", test_filter},
      {"float", plain<is_float>},
      {"ge", test_compare<CompareOp::greater_equal>},
      {"greaterthan", test_compare<CompareOp::greater>},
      {"gt", test_compare<CompareOp::greater>},
      {"in", test_compare<CompareOp::in>},
      {"integer", plain<is_integer>},
      {"iterable", plain<is_iterable>},
      {"le", test_compare<CompareOp::less_equal>},
      {"lessthan", test_compare<CompareOp::less>},
      {"lower", test_case<lower>},
      {"lt", test_compare<CompareOp::less>},
      {"mapping", plain<is_mapping>},
      {"ne", test_compare<CompareOp::not_equal>},
      {"none", plain<is_none>},
      {"number", plain<is_number>},
      {"odd", test_modulo<2, 1>},
      {"sameas", test_sameas},
      {"sequence", plain<is_sequence>},
      {"string", plain<is_string>},
      {"test", test_test},
      {"true", plain<is_true>},
      {"undefined", plain<is_undefined>},
      {"upper", test_case<upper>},
  };
  const auto found = kTests.find(name);
  return found == kTests.end() ? nullptr : found->second;
}

}  // namespace haikuda::jinja
