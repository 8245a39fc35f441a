// Items, attributes, slices and iteration.
#include <algorithm>

#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

namespace haikuda::jinja {
namespace {

Value missing(Runtime& runtime, const Value& object, std::string_view name) {
  return runtime.undefined(
      fmt::format("'{} object' has no attribute '{}'", type_name(object), printable(name, 80)));
}

// The character or item there, counted from the end when negative; nothing when there is none.
std::optional<Value> item_at(Runtime& runtime, const Value& object, std::int64_t at) {
  if (const List* list = as<List>(object); list != nullptr && list->indexable()) {
    const auto n = static_cast<std::int64_t>(list->items.size());
    if (at < -n || at >= n) return std::nullopt;
    return list->items[static_cast<std::size_t>(at < 0 ? at + n : at)];
  }
  const Text* text = as_text(object);
  if (text == nullptr) return std::nullopt;
  runtime.charge_chars(text->size());
  const std::vector<std::size_t> offsets = char_offsets(text->view());
  const auto n = static_cast<std::int64_t>(offsets.size()) - 1;
  if (at < -n || at >= n) return std::nullopt;
  const auto i = static_cast<std::size_t>(at < 0 ? at + n : at);
  return runtime.text(text->slice(offsets[i], offsets[i + 1]));
}

std::vector<Value> characters(Runtime& runtime, const Text& text) {
  std::vector<Value> items;
  const std::vector<std::size_t> offsets = char_offsets(text.view());
  for (std::size_t i = 0; i + 1 < offsets.size(); ++i)
    items.push_back(runtime.text(text.slice(offsets[i], offsets[i + 1])));
  return items;
}

// The positions that start:stop:step selects among n, as Python's slice.indices() does.
std::vector<std::size_t> slice_positions(
    Runtime& runtime, std::int64_t n, const Value& start, const Value& stop, const Value& step) {
  const auto part = [&](const Value& value, std::int64_t fallback) {
    require_defined(runtime, value);
    const auto integer = as_integer(value);
    if (!integer && !is_none(value))
      runtime.fail(fmt::format("slice indices are integers or none, not '{}'", type_name(value)));
    return integer.value_or(fallback);
  };
  const std::int64_t by = part(step, 1);
  if (by == 0) runtime.fail("a slice with step zero");
  const std::int64_t low = by > 0 ? 0 : -1, high = by > 0 ? n : n - 1;
  const auto clamp = [&](const Value& value, std::int64_t fallback) {
    const std::int64_t at = part(value, fallback);
    if (is_none(value)) return fallback;
    return std::clamp(at < 0 ? std::max(at, -n - 1) + n : at, low, high);
  };
  const std::int64_t begin = clamp(start, by > 0 ? low : high),
                     end = clamp(stop, by > 0 ? high : low);
  std::vector<std::size_t> positions;
  for (std::int64_t i = begin; by > 0 ? i < end : i > end;) {
    positions.push_back(static_cast<std::size_t>(i));
    if (__builtin_add_overflow(i, by, &i)) break;
  }
  runtime.charge(positions.size() * sizeof(Value));
  return positions;
}

}  // namespace

List* iterate(Runtime& runtime, const Value& value) {
  if (List* list = as<List>(value)) {
    runtime.charge_items(list->items.size());
    if (list->kind != List::Kind::generator) return list;
    return runtime.list(std::exchange(list->items, {}));
  }
  if (const Text* text = as_text(value)) return runtime.list(characters(runtime, *text));
  if (const Dict* dict = as<Dict>(value)) {
    std::vector<Value> keys;
    runtime.charge_items(dict->entries.size());
    for (const auto& [key, item] : dict->entries) keys.push_back(key);
    return runtime.list(std::move(keys), List::Kind::keys);
  }
  if (!is_undefined(value))
    runtime.fail(fmt::format("'{}' object is not iterable", type_name(value)));
  return runtime.list({});
}

std::int64_t length(Runtime& runtime, const Value& value) {
  if (is_undefined(value)) return 0;
  if (const Text* text = as_text(value)) {
    runtime.charge_chars(text->size());
    return count_chars(text->view());
  }
  if (const List* list = as<List>(value); list != nullptr && list->kind != List::Kind::generator)
    return static_cast<std::int64_t>(list->items.size());
  if (const Dict* dict = as<Dict>(value)) return static_cast<std::int64_t>(dict->entries.size());
  if (Loop* loop = as<Loop>(value)) return loop->length(runtime);
  runtime.fail(fmt::format("object of type '{}' has no length", type_name(value)));
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  require_defined(runtime, object);
  if (const Dict* dict = as<Dict>(object)) {
    const auto hashed = dict_key(runtime, key);
    if (const Value* value = hashed ? dict->find(*hashed) : nullptr) return *value;
  } else if (const auto at = as_integer(key)) {
    if (const auto item = item_at(runtime, object, *at)) return *item;
  }
  if (const Text* name = as_text(key)) {
    runtime.charge(name->size());
    if (const auto member = find_member(runtime, object, name->view())) return *member;
    return missing(runtime, object, name->view());
  }
  Text shown;
  print_repr(runtime, shown, key);
  return runtime.undefined(
      fmt::format("{} object has no element {}", type_name(object), printable(shown.view(), 80)));
}

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  require_defined(runtime, object);
  if (const auto member = find_member(runtime, object, name)) return *member;
  if (const Dict* dict = as<Dict>(object)) {
    if (const Value* value = dict->find(dict_key(name))) return *value;
  }
  return missing(runtime, object, name);
}

Value get_slice(Runtime& runtime,
                const Value& object,
                const Value& start,
                const Value& stop,
                const Value& step) {
  require_defined(runtime, object);
  if (const List* list = as<List>(object); list != nullptr && list->indexable()) {
    std::vector<Value> items;
    for (const std::size_t i :
         slice_positions(runtime, static_cast<std::int64_t>(list->items.size()), start, stop, step))
      items.push_back(list->items[i]);
    return runtime.list(std::move(items), list->kind);
  }
  const Text* text = as_text(object);
  if (text == nullptr) runtime.fail(fmt::format("'{}' object cannot be sliced", type_name(object)));
  runtime.charge_chars(text->size());
  const std::vector<std::size_t> offsets = char_offsets(text->view());
  Text out;
  for (const std::size_t i :
       slice_positions(runtime, static_cast<std::int64_t>(offsets.size()) - 1, start, stop, step))
    out.append(*text, offsets[i], offsets[i + 1]);
  return runtime.text(std::move(out));
}

}  // namespace haikuda::jinja
