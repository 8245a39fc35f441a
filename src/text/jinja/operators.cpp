#include "text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "text/jinja/format.h"
#include "text/jinja/strings.h"

namespace haikuda::jinja {
namespace {

constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "//", "%", "**"};

[[noreturn]] void fail_operands(Runtime& runtime,
                                std::string_view op,
                                const Value& left,
                                const Value& right) {
  require_defined(runtime, left);
  require_defined(runtime, right);
  runtime.fail(fmt::format("'{}' is not defined between '{}' and '{}'", op, type_name(left),
                           type_name(right)));
}

std::int64_t power(Runtime& runtime, std::int64_t base, std::int64_t exponent) {
  std::int64_t result = 1;
  bool overflow = false;
  while (exponent > 0) {
    if (exponent % 2 == 1) overflow |= __builtin_mul_overflow(result, base, &result);
    exponent /= 2;
    if (exponent > 0) overflow |= __builtin_mul_overflow(base, base, &base);
    if (overflow) runtime.fail("an integer of more than 64 bits is not supported");
  }
  return result;
}

double floor_modulo(double a, double b) {
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0.0, b);
  return (rest < 0) != (b < 0) ? rest + b : rest;
}

Value integer_binary(Runtime& runtime, BinaryOp op, std::int64_t a, std::int64_t b) {
  std::int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOp::add:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOp::subtract:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOp::multiply:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOp::divide:
      if (b == 0) runtime.fail("division by zero");
      return static_cast<double>(a) / static_cast<double>(b);
    case BinaryOp::floor_divide:
    case BinaryOp::modulo: {
      if (b == 0) runtime.fail("division by zero");
      if (b == -1) return op == BinaryOp::modulo ? Value(std::int64_t{0}) : negate(runtime, a);
      const bool rounds_up = a % b != 0 && (a % b < 0) != (b < 0);
      return op == BinaryOp::modulo ? a % b + (rounds_up ? b : 0) : a / b - (rounds_up ? 1 : 0);
    }
    case BinaryOp::power:
      if (b < 0 && a == 0) runtime.fail("division by zero");
      if (b < 0) return std::pow(static_cast<double>(a), static_cast<double>(b));
      return power(runtime, a, b);
  }
  if (overflow) runtime.fail("an integer of more than 64 bits is not supported");
  return result;
}

Value real_binary(Runtime& runtime, BinaryOp op, double a, double b) {
  const bool divides =
      op == BinaryOp::divide || op == BinaryOp::floor_divide || op == BinaryOp::modulo;
  if (divides && b == 0) runtime.fail("division by zero");
  switch (op) {
    case BinaryOp::add:
      return a + b;
    case BinaryOp::subtract:
      return a - b;
    case BinaryOp::multiply:
      return a * b;
    case BinaryOp::divide:
      return a / b;
    case BinaryOp::floor_divide:
      return std::floor((a - floor_modulo(a, b)) / b + 0.5);
    case BinaryOp::modulo:
      return floor_modulo(a, b);
    case BinaryOp::power:
      if (a == 0 && b < 0) runtime.fail("division by zero");
      if (a < 0 && b != std::floor(b)) runtime.fail("a complex number is not supported");
      return std::pow(a, b);
  }
  return a;
}

bool is_list_or_tuple(const List* list) {
  return list != nullptr && (list->kind == List::Kind::list || list->kind == List::Kind::tuple);
}

Value repeat_list(Runtime& runtime, const List& list, std::int64_t count) {
  std::vector<Value> items;
  for (std::int64_t i = 0; !list.items.empty() && i < count; ++i) {
    runtime.charge(list.items.size() * sizeof(Value));
    items.insert(items.end(), list.items.begin(), list.items.end());
  }
  return runtime.list(std::move(items), list.kind);
}

// Text or list times integer, in either order; nothing when it is neither.
std::optional<Value> repeat_sequence(Runtime& runtime, const Value& sequence, const Value& count) {
  const auto n = as_integer(count);
  if (!n) return std::nullopt;
  if (const Text* text = as_text(sequence)) return runtime.text(repeat(runtime, *text, *n));
  if (const List* list = as<List>(sequence); is_list_or_tuple(list))
    return repeat_list(runtime, *list, *n);
  return std::nullopt;
}

std::optional<Value> add_sequences(Runtime& runtime, const Value& left, const Value& right) {
  const Text *a = as_text(left), *b = as_text(right);
  if (a != nullptr && b != nullptr) {
    Text sum;
    runtime.append(sum, *a);
    runtime.append(sum, *b);
    return runtime.text(std::move(sum));
  }
  const List *x = as<List>(left), *y = as<List>(right);
  if (!is_list_or_tuple(x) || !is_list_or_tuple(y) || x->kind != y->kind) return std::nullopt;
  runtime.charge((x->items.size() + y->items.size()) * sizeof(Value));
  std::vector<Value> items = x->items;
  items.insert(items.end(), y->items.begin(), y->items.end());
  return runtime.list(std::move(items), x->kind);
}

bool equal_lists(Runtime& runtime, const List& left, const List& right) {
  if (left.kind != right.kind || left.items.size() != right.items.size()) return false;
  runtime.charge_items(left.items.size());
  return std::equal(left.items.begin(), left.items.end(), right.items.begin(),
                    [&](const Value& a, const Value& b) { return equal(runtime, a, b); });
}

bool equal_dicts(Runtime& runtime, const Dict& left, const Dict& right) {
  if (left.entries.size() != right.entries.size()) return false;
  runtime.charge_items(left.entries.size());
  return std::all_of(left.index.begin(), left.index.end(), [&](const auto& entry) {
    runtime.charge(entry.first.size());
    const Value* other = right.find(entry.first);
    return other != nullptr && equal(runtime, left.entries[entry.second].second, *other);
  });
}

bool less_lists(Runtime& runtime, const List& left, const List& right) {
  const std::size_t n = std::min(left.items.size(), right.items.size());
  runtime.charge_items(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (!equal(runtime, left.items[i], right.items[i]))
      return less(runtime, left.items[i], right.items[i]);
  }
  return left.items.size() < right.items.size();
}

}  // namespace

void fail_undefined(Runtime& runtime, const Undefined& undefined) {
  runtime.fail(undefined.why == nullptr ? "an undefined value is used" : *undefined.why);
}

void require_defined(Runtime& runtime, const Value& value) {
  if (const auto* undefined = std::get_if<Undefined>(&value)) fail_undefined(runtime, *undefined);
}

Value binary(Runtime& runtime, BinaryOp op, const Value& left, const Value& right) {
  const auto a = as_integer(left), b = as_integer(right);
  if (a && b) return integer_binary(runtime, op, *a, *b);
  const auto x = as_number(left), y = as_number(right);
  if (x && y) return real_binary(runtime, op, *x, *y);
  if (op == BinaryOp::modulo && as_text(left) != nullptr && !is_undefined(right))
    return runtime.text(format_percent(runtime, *as_text(left), right));
  std::optional<Value> result;
  if (op == BinaryOp::add) result = add_sequences(runtime, left, right);
  if (op == BinaryOp::multiply) result = repeat_sequence(runtime, left, right);
  if (op == BinaryOp::multiply && !result) result = repeat_sequence(runtime, right, left);
  if (!result) fail_operands(runtime, kSymbols[static_cast<int>(op)], left, right);
  return *result;
}

Value negate(Runtime& runtime, const Value& value) {
  if (const auto* real = std::get_if<double>(&value)) return -*real;
  require_defined(runtime, value);
  const auto integer = as_integer(value);
  if (!integer) runtime.fail(fmt::format("'-' is not defined for '{}'", type_name(value)));
  return integer_binary(runtime, BinaryOp::subtract, 0, *integer);
}

Value plus(Runtime& runtime, const Value& value) {
  if (std::holds_alternative<double>(value)) return value;
  require_defined(runtime, value);
  const auto integer = as_integer(value);
  if (!integer) runtime.fail(fmt::format("'+' is not defined for '{}'", type_name(value)));
  return *integer;
}

bool equal(Runtime& runtime, const Value& left, const Value& right) {
  if (is_undefined(left) || is_undefined(right)) return is_undefined(left) && is_undefined(right);
  if (is_none(left) || is_none(right)) return is_none(left) && is_none(right);
  const auto a = as_integer(left), b = as_integer(right);
  if (a && b) return *a == *b;
  const auto x = as_number(left), y = as_number(right);
  if (x && y) return *x == *y;
  const Text *s = as_text(left), *t = as_text(right);
  if (s != nullptr && t != nullptr) {
    if (s->size() != t->size()) return false;
    runtime.charge(s->size());
    return s->view() == t->view();
  }
  if (left.index() != right.index()) return false;
  const Nesting nesting(runtime);
  if (const List* list = as<List>(left); list != nullptr && list->kind != List::Kind::generator)
    return equal_lists(runtime, *list, *as<List>(right));
  if (const Dict* dict = as<Dict>(left)) return equal_dicts(runtime, *dict, *as<Dict>(right));
  return std::visit(
      [&](const auto& pointer) {
        if constexpr (std::is_pointer_v<std::decay_t<decltype(pointer)>>)
          return pointer == std::get<std::decay_t<decltype(pointer)>>(right);
        else
          return false;
      },
      left);
}

bool less(Runtime& runtime, const Value& left, const Value& right) {
  const auto a = as_integer(left), b = as_integer(right);
  if (a && b) return *a < *b;
  const auto x = as_number(left), y = as_number(right);
  if (x && y) return *x < *y;
  const Text *s = as_text(left), *t = as_text(right);
  if (s != nullptr && t != nullptr) {
    runtime.charge(std::min(s->size(), t->size()));
    return s->view() < t->view();
  }
  const List *l = as<List>(left), *r = as<List>(right);
  if (!is_list_or_tuple(l) || !is_list_or_tuple(r) || l->kind != r->kind)
    fail_operands(runtime, "<", left, right);
  const Nesting nesting(runtime);
  return less_lists(runtime, *l, *r);
}

bool compare(Runtime& runtime, CompareOp op, const Value& left, const Value& right) {
  const auto x = as_number(left), y = as_number(right);
  if (x && y && (std::isnan(*x) || std::isnan(*y))) return op == CompareOp::not_equal;
  switch (op) {
    case CompareOp::equal:
      return equal(runtime, left, right);
    case CompareOp::not_equal:
      return !equal(runtime, left, right);
    case CompareOp::less:
      return less(runtime, left, right);
    case CompareOp::less_equal:
      return !less(runtime, right, left);
    case CompareOp::greater:
      return less(runtime, right, left);
    case CompareOp::greater_equal:
      return !less(runtime, left, right);
    case CompareOp::in:
      return contains(runtime, right, left);
    case CompareOp::not_in:
      return !contains(runtime, right, left);
  }
  return false;
}

bool contains(Runtime& runtime, const Value& container, const Value& item) {
  if (const Text* text = as_text(container)) {
    const Text* part = as_text(item);
    if (part == nullptr)
      runtime.fail(fmt::format("'in <string>' needs a string, not '{}'", type_name(item)));
    runtime.charge(text->size());
    return find_bytes(text->view(), part->view()) != std::string_view::npos;
  }
  if (const Dict* dict = as<Dict>(container)) {
    const auto key = dict_key(runtime, item);
    return key && dict->find(*key) != nullptr;
  }
  const List* list = iterate(runtime, container);
  return std::any_of(list->items.begin(), list->items.end(),
                     [&](const Value& other) { return equal(runtime, item, other); });
}

}  // namespace haikuda::jinja
