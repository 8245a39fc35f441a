#include "text/jinja/value.h"

#include <bit>
#include <cmath>

#include "text/jinja/runtime.h"

namespace haikuda::jinja {
namespace {

constexpr double kTwo63 = 9223372036854775808.0;

std::string number_key(double number) {
  if (number == std::floor(number) && std::abs(number) < kTwo63)
    return "i" + std::to_string(static_cast<std::int64_t>(number));
  return "f" + std::to_string(std::bit_cast<std::uint64_t>(number));
}

}  // namespace

std::optional<std::int64_t> as_integer(const Value& value) {
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return *integer;
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean ? 1 : 0;
  return std::nullopt;
}

std::optional<double> as_number(const Value& value) {
  if (const auto* real = std::get_if<double>(&value)) return *real;
  if (const auto integer = as_integer(value)) return static_cast<double>(*integer);
  return std::nullopt;
}

std::string dict_key(std::string_view text) {
  return "s" + std::string(text);
}

std::optional<std::string> dict_key(Runtime& runtime, const Value& value) {
  if (const Text* text = as_text(value)) {
    runtime.charge(text->size());
    return dict_key(text->view());
  }
  if (const auto integer = as_integer(value)) return "i" + std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return number_key(*real);
  if (is_none(value)) return "n";
  return std::nullopt;
}

const Value* Dict::find(const std::string& key) const {
  const auto found = index.find(key);
  return found == index.end() ? nullptr : &entries[found->second].second;
}

void Dict::set(const std::string& key, const Value& key_value, const Value& value) {
  const auto [found, is_new] = index.try_emplace(key, entries.size());
  if (is_new) {
    entries.emplace_back(key_value, value);
  } else {
    entries[found->second].second = value;
  }
}

std::optional<Value> Dict::take(const std::string& key) {
  const auto found = index.find(key);
  if (found == index.end()) return std::nullopt;
  const std::size_t at = found->second;
  const Value value = entries[at].second;
  entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(at));
  index.erase(found);
  for (auto& [other, position] : index) position -= position > at ? 1 : 0;
  return value;
}

const Value* Scope::find(std::string_view name) const {
  for (const Scope* scope = this; scope != nullptr; scope = scope->parent) {
    const auto found = scope->names.find(name);
    if (found != scope->names.end()) return &found->second;
  }
  return nullptr;
}

std::optional<Value> Loop::pull() {
  while (position < source->items.size()) {
    const Value item = source->items[position++];
    if (!keep || keep(item)) return item;
  }
  return std::nullopt;
}

bool Loop::has_next() {
  if (!after) after = pull();
  return after.has_value();
}

bool Loop::advance() {
  if (!has_next()) return false;
  before = current;
  current = *after;
  after.reset();
  ++index0;
  return true;
}

std::int64_t Loop::length(Runtime& runtime) {
  if (known_length) return *known_length;
  if (keep) {  // the rest has to be tested to be counted
    std::vector<Value> rest;
    while (const auto item = pull()) rest.push_back(*item);
    known_length = static_cast<std::int64_t>(rest.size()) + index0 + 1 + (after ? 1 : 0);
    source = runtime.list(std::move(rest));
    position = 0;
    keep = nullptr;
  } else {
    known_length = static_cast<std::int64_t>(source->items.size());
  }
  return *known_length;
}

bool truth(const Value& value) {
  if (const auto number = as_number(value)) return *number != 0;
  if (const Text* text = as_text(value)) return !text->empty();
  if (const List* list = as<List>(value))
    return list->kind == List::Kind::generator || !list->items.empty();
  if (const Dict* dict = as<Dict>(value)) return !dict->entries.empty();
  return !is_none(value) && !is_undefined(value);
}

std::string_view type_name(const Value& value) {
  static constexpr std::string_view kNames[] = {"Undefined", "NoneType",    "bool",     "int",
                                                "float",     "str",         "list",     "dict",
                                                "Namespace", "LoopContext", "function", "Macro"};
  static_assert(std::size(kNames) == std::variant_size_v<Value>);
  const List* list = as<List>(value);
  return list != nullptr ? type_name(*list) : kNames[value.index()];
}

std::string_view type_name(const List& list) {
  static constexpr std::string_view kNames[] = {
      "list", "tuple", "range", "dict_keys", "dict_values", "dict_items", "generator"};
  return kNames[static_cast<int>(list.kind)];
}

}  // namespace haikuda::jinja
