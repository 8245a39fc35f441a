// Filters over lists, dicts and other things with items.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

namespace haikuda::jinja {
namespace {

using Getter = std::function<Value(const Value&)>;

// The path "a.0.b" of an attribute argument; none: the item itself.
std::vector<Value> attribute_path(Runtime& runtime, const Value& attribute) {
  if (is_none(attribute) || is_undefined(attribute)) return {};
  const Text* text = as_text(attribute);
  if (text == nullptr) return {attribute};
  std::vector<Value> path;
  const Text dot(".", false);
  for (const Text& part : split(runtime, *text, &dot, -1, Side::left)) {
    std::int64_t number = 0;
    const char* end = part.view().data() + part.size();
    const auto parsed = std::from_chars(part.view().data(), end, number);
    const bool is_number = parsed.ec == std::errc() && parsed.ptr == end && part.view()[0] != '-';
    path.push_back(is_number ? Value(number) : runtime.text(part));
  }
  return path;
}

// jinja2's make_attrgetter: follows the path, `fallback` in place of what is undefined, strings in
// lower case when case is ignored.
Getter getter(Runtime& runtime, const Value& attribute, const Value& fallback, bool ignore_case) {
  return [&runtime, path = attribute_path(runtime, attribute), fallback,
          ignore_case](const Value& item) {
    Value value = item;
    for (const Value& key : path) {
      value = get_item(runtime, value, key);
      if (is_undefined(value) && !is_none(fallback)) value = fallback;
    }
    const Text* text = as_text(value);
    return ignore_case && text != nullptr ? runtime.text(lower(runtime, *text)) : value;
  };
}

Value generator(Runtime& runtime, std::vector<Value> items) {
  return runtime.list(std::move(items), List::Kind::generator);
}

// An attribute without the fallback to an item.
Value filter_attr(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "attr", args, {"name"}, 1);
  require_defined(runtime, input);
  const std::string_view name = bound.text(0).view();
  runtime.charge(name.size());
  const auto member = find_member(runtime, input, name);
  return member ? *member
                : runtime.undefined(fmt::format("no attribute '{}'", printable(name, 80)));
}

// A stable sort by key. A comparison that is not defined fails.
void sort_by(Runtime& runtime, std::vector<Value>& items, const Getter& key, bool reverse) {
  std::vector<std::pair<Value, Value>> keyed;
  for (const Value& item : items) {
    keyed.emplace_back(key(item), item);
    if (const auto number = as_number(keyed.back().first); number && std::isnan(*number))
      runtime.fail("sorting nan is not supported");
  }
  std::stable_sort(keyed.begin(), keyed.end(), [&](const auto& a, const auto& b) {
    runtime.charge();
    return reverse ? less(runtime, b.first, a.first) : less(runtime, a.first, b.first);
  });
  std::transform(keyed.begin(), keyed.end(), items.begin(),
                 [](const auto& entry) { return entry.second; });
}

Value filter_dictsort(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "dictsort", args, {"case_sensitive", "by", "reverse"});
  require_defined(runtime, input);
  const Dict* dict = as<Dict>(input);
  if (dict == nullptr)
    runtime.fail(fmt::format("dictsort() needs a dict, not '{}'", type_name(input)));
  const std::string_view by = bound.has(1) ? bound.text(1).view() : "key";
  if (by != "key" && by != "value") runtime.fail("dictsort() sorts by \"key\" or \"value\"");
  std::vector<Value> items;
  runtime.charge_items(dict->entries.size());
  for (const auto& [key, value] : dict->entries)
    items.push_back(runtime.list({key, value}, List::Kind::tuple));
  const Value part = std::int64_t{by == "key" ? 0 : 1};
  sort_by(runtime, items, getter(runtime, part, None{}, !bound.flag(0, false)),
          bound.flag(2, false));
  return runtime.list(std::move(items));
}

Value filter_first(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "first", args, {});
  if (List* list = as<List>(input);
      list != nullptr && list->kind == List::Kind::generator && !list->items.empty()) {
    runtime.charge(list->items.size() * sizeof(Value));
    const Value first = list->items.front();  // the generator goes on after it
    list->items.erase(list->items.begin());
    return first;
  }
  const List* items = iterate(runtime, input);
  return items->items.empty() ? runtime.undefined("No first item, sequence was empty.")
                              : items->items.front();
}

Value filter_last(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "last", args, {});
  if (const List* list = as<List>(input); list != nullptr && list->kind == List::Kind::generator)
    runtime.fail("'generator' object is not reversible; pass it through 'list'");
  const List* items = iterate(runtime, input);
  return items->items.empty() ? runtime.undefined("No last item, sequence was empty.")
                              : items->items.back();
}

Value filter_items(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "items", args, {});
  if (is_undefined(input)) return generator(runtime, {});
  const Dict* dict = as<Dict>(input);
  if (dict == nullptr)
    runtime.fail(fmt::format("items() needs a dict, not '{}'", type_name(input)));
  std::vector<Value> items;
  runtime.charge_items(dict->entries.size());
  for (const auto& [key, value] : dict->entries)
    items.push_back(runtime.list({key, value}, List::Kind::tuple));
  return generator(runtime, std::move(items));
}

Value filter_join(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "join", args, {"d", "attribute"});
  const Text separator = bound.has(0) ? to_text(runtime, bound[0]) : Text();
  const Getter get = getter(runtime, bound[1], None{}, false);
  Text out;
  bool is_first = true;
  for (const Value& item : iterate(runtime, input)->items) {
    if (!is_first) runtime.append(out, separator);
    is_first = false;
    print(runtime, out, get(item));
  }
  return runtime.text(std::move(out));
}

Value filter_length(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "length", args, {});
  return length(runtime, input);
}

Value filter_list(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "list", args, {});
  return runtime.list(iterate(runtime, input)->items);
}

Value filter_map(Runtime& runtime, const Value& input, const Args& args) {
  if (!truth(input)) return generator(runtime, {});
  std::vector<Value> results;
  if (args.positional.empty()) {
    const Bound bound(runtime, "map", args, {"attribute", "default"}, 1);
    const Getter get = getter(runtime, bound[0], bound.has(1) ? bound[1] : None{}, false);
    for (const Value& item : iterate(runtime, input)->items) results.push_back(get(item));
  } else {
    const Text* name = as_text(args.positional.front());
    if (name == nullptr) runtime.fail("map() needs the name of a filter");
    const Args rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
    for (const Value& item : iterate(runtime, input)->items)
      results.push_back(apply_filter(runtime, name->view(), item, rest));
  }
  return generator(runtime, std::move(results));
}

Value extreme(
    Runtime& runtime, std::string_view name, const Value& input, const Args& args, bool want_max) {
  const Bound bound(runtime, name, args, {"case_sensitive", "attribute"});
  const Getter key = getter(runtime, bound[1], None{}, !bound.flag(0, false));
  const List* items = iterate(runtime, input);
  if (items->items.empty()) return runtime.undefined("No aggregated item, sequence was empty.");
  Value best = items->items.front();
  for (const Value& item : items->items) {
    if (want_max ? less(runtime, key(best), key(item)) : less(runtime, key(item), key(best)))
      best = item;
  }
  return best;
}

Value filter_max(Runtime& runtime, const Value& input, const Args& args) {
  return extreme(runtime, "max", input, args, true);
}
Value filter_min(Runtime& runtime, const Value& input, const Args& args) {
  return extreme(runtime, "min", input, args, false);
}

// select, reject and their attr forms: the items whose value, or whose attribute, passes the test.
template <bool kWanted, bool kByAttribute>
Value filter_select(Runtime& runtime, const Value& input, const Args& args) {
  if (!truth(input)) return generator(runtime, {});
  const std::size_t used = kByAttribute ? 1 : 0;
  if (args.positional.size() < used)
    runtime.fail("selectattr() and rejectattr() need the name of an attribute");
  const Getter get =
      getter(runtime, kByAttribute ? args.positional[0] : Value(None{}), None{}, false);
  const Text* test = args.positional.size() > used ? as_text(args.positional[used]) : nullptr;
  Args rest{{}, args.named};
  if (args.positional.size() > used) {
    if (test == nullptr) runtime.fail("select() and reject() need the name of a test");
    rest.positional.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(used) + 1,
                           args.positional.end());
  }
  std::vector<Value> kept;
  for (const Value& item : iterate(runtime, input)->items) {
    const Value value = get(item);
    const bool passes =
        test == nullptr ? truth(value) : apply_test(runtime, test->view(), value, rest);
    if (passes == kWanted) kept.push_back(item);
  }
  return generator(runtime, std::move(kept));
}

Value filter_reverse(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "reverse", args, {});
  if (const Text* text = as_text(input)) return runtime.text(reversed(runtime, *text));
  const List* list = as<List>(input);
  const bool is_generator = list != nullptr && list->kind == List::Kind::generator;
  std::vector<Value> items = iterate(runtime, input)->items;
  std::reverse(items.begin(), items.end());
  return runtime.list(std::move(items), is_generator ? List::Kind::list : List::Kind::generator);
}

Value filter_sort(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "sort", args, {"reverse", "case_sensitive", "attribute"});
  std::vector<Getter> getters;
  const Text* paths = as_text(bound[2]);
  const Text comma(",", false);
  if (paths == nullptr) {
    getters.push_back(getter(runtime, bound[2], None{}, !bound.flag(1, false)));
  } else {
    for (const Text& path : split(runtime, *paths, &comma, -1, Side::left))
      getters.push_back(getter(runtime, runtime.text(path), None{}, !bound.flag(1, false)));
  }
  const Getter key = [&](const Value& item) -> Value {
    if (getters.size() == 1) return getters[0](item);
    std::vector<Value> keys;
    keys.reserve(getters.size());
    for (const Getter& get : getters) keys.push_back(get(item));
    return runtime.list(std::move(keys));
  };
  std::vector<Value> items = iterate(runtime, input)->items;
  sort_by(runtime, items, key, bound.flag(0, false));
  return runtime.list(std::move(items));
}

Value filter_sum(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "sum", args, {"attribute", "start"});
  const Getter get = getter(runtime, bound[0], None{}, false);
  Value total = bound.has(1) ? bound[1] : Value(std::int64_t{0});
  if (as_text(total) != nullptr) runtime.fail("sum() cannot add strings; use 'join'");
  for (const Value& item : iterate(runtime, input)->items)
    total = binary(runtime, BinaryOp::add, total, get(item));
  return total;
}

Value filter_unique(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "unique", args, {"case_sensitive", "attribute"});
  const Getter get = getter(runtime, bound[1], None{}, !bound.flag(0, false));
  std::vector<Value> kept;
  std::unordered_set<std::string> seen;
  for (const Value& item : iterate(runtime, input)->items) {
    const auto key =
        is_undefined(get(item)) ? std::optional<std::string>("u") : dict_key(runtime, get(item));
    if (!key) runtime.fail(fmt::format("unique() needs hashable items, not '{}'", type_name(item)));
    if (seen.insert(*key).second) kept.push_back(item);
  }
  return generator(runtime, std::move(kept));
}

}  // namespace

FilterFunction find_sequence_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, FilterFunction> kFilters = {
      {"attr", filter_attr},
      {"count", filter_length},
      {"dictsort", filter_dictsort},
      {"first", filter_first},
      {"items", filter_items},
      {"join", filter_join},
      {"last", filter_last},
      {"length", filter_length},
      {"list", filter_list},
      {"map", filter_map},
      {"max", filter_max},
      {"min", filter_min},
      {"reject", filter_select<false, false>},
      {"rejectattr", filter_select<false, true>},
      {"reverse", filter_reverse},
      {"select", filter_select<true, false>},
      {"selectattr", filter_select<true, true>},
      {"sort", filter_sort},
      {"sum", filter_sum},
      {"unique", filter_unique},
  };
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace haikuda::jinja
