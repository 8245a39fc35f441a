// Methods and properties of lists, dicts, namespaces and loops, and the global functions.
#include <algorithm>
#include <array>
#include <ctime>

#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"

namespace haikuda::jinja {
namespace {

using Function = decltype(Callable::function);

struct Method {
  std::string_view name;
  Function function;
};

// Hugging Face's sandbox refuses append and pop; other runtimes that templates are written for have
// them.
Value list_append(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "append", args, {"item"}, 1);
  runtime.charge(sizeof(Value));
  as<List>(self)->items.push_back(bound[0]);
  return None{};
}

Value list_pop(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "pop", args, {"index"});
  std::vector<Value>& items = as<List>(self)->items;
  const auto n = static_cast<std::int64_t>(items.size());
  const std::int64_t at = bound.integer(0, -1);
  if (at < -n || at >= n) runtime.fail("pop() from an empty list or past its end");
  runtime.charge(items.size() * sizeof(Value));
  const auto position = items.begin() + (at < 0 ? at + n : at);
  const Value item = *position;
  items.erase(position);
  return item;
}

Value list_index(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "index", args, {"item"}, 1);
  const std::vector<Value>& items = iterate(runtime, self)->items;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (equal(runtime, items[i], bound[0])) return static_cast<std::int64_t>(i);
  }
  runtime.fail("index(): the item is not in the list");
}

Value list_count(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "count", args, {"item"}, 1);
  const std::vector<Value>& items = iterate(runtime, self)->items;
  return static_cast<std::int64_t>(
      std::count_if(items.begin(), items.end(),
                    [&](const Value& item) { return equal(runtime, item, bound[0]); }));
}

std::string require_key(Runtime& runtime, const Value& value) {
  const auto key = dict_key(runtime, value);
  if (!key) runtime.fail(fmt::format("'{}' cannot be the key of a dict", type_name(value)));
  return *key;
}

Value dict_get(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "get", args, {"key", "default"}, 1);
  const Value* value = as<Dict>(self)->find(require_key(runtime, bound[0]));
  if (value != nullptr) return *value;
  return bound.has(1) ? bound[1] : None{};
}

Value dict_pop(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "pop", args, {"key", "default"}, 1);
  runtime.charge_items(as<Dict>(self)->entries.size());
  const auto value = as<Dict>(self)->take(require_key(runtime, bound[0]));
  if (!value && !bound.has(1)) runtime.fail("pop(): the dict has no such key");
  return value ? *value : bound[1];
}

Value dict_copy(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "copy", args, {});
  runtime.charge_items(as<Dict>(self)->entries.size());
  Dict* copy = runtime.dict();
  *copy = *as<Dict>(self);
  return copy;
}

template <List::Kind kKind>
Value dict_view(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "keys", args, {});
  std::vector<Value> items;
  runtime.charge_items(as<Dict>(self)->entries.size());
  for (const auto& [key, value] : as<Dict>(self)->entries) {
    items.push_back(kKind == List::Kind::keys     ? key
                    : kKind == List::Kind::values ? value
                                                  : runtime.list({key, value}, List::Kind::tuple));
  }
  return runtime.list(std::move(items), kKind);
}

Value loop_cycle(Runtime& runtime, const Value& self, const Args& args) {
  if (args.positional.empty()) runtime.fail("cycle() needs arguments");
  return args.positional[static_cast<std::size_t>(as<Loop>(self)->index0) % args.positional.size()];
}

Value loop_changed(Runtime& runtime, const Value& self, const Args& args) {
  auto& last = as<Loop>(self)->last_changed;
  const bool same =
      last && std::equal(last->begin(), last->end(), args.positional.begin(), args.positional.end(),
                         [&](const Value& a, const Value& b) { return equal(runtime, a, b); });
  last = args.positional;
  return !same;
}

std::optional<Value> loop_property(Runtime& runtime, Loop& loop, std::string_view name) {
  if (name == "index") return loop.index0 + 1;
  if (name == "index0") return loop.index0;
  if (name == "first") return loop.index0 == 0;
  if (name == "last") return !loop.has_next();
  if (name == "length") return loop.length(runtime);
  if (name == "revindex") return loop.length(runtime) - loop.index0;
  if (name == "revindex0") return loop.length(runtime) - loop.index0 - 1;
  if (name == "depth") return std::int64_t{1};
  if (name == "depth0") return std::int64_t{0};
  if (name == "previtem")
    return loop.index0 == 0 ? runtime.undefined("there is no previous item") : loop.before;
  if (name == "nextitem")
    return loop.has_next() ? *loop.after : runtime.undefined("there is no next item");
  return std::nullopt;
}

constexpr Method kListMethods[] = {
    {"append", list_append}, {"count", list_count}, {"index", list_index}, {"pop", list_pop}};
constexpr Method kDictMethods[] = {{"copy", dict_copy},
                                   {"get", dict_get},
                                   {"items", dict_view<List::Kind::items>},
                                   {"keys", dict_view<List::Kind::keys>},
                                   {"pop", dict_pop},
                                   {"values", dict_view<List::Kind::values>}};
constexpr Method kLoopMethods[] = {{"changed", loop_changed}, {"cycle", loop_cycle}};

template <std::size_t N>
std::optional<Value> find_method(Runtime& runtime,
                                 const Method (&methods)[N],
                                 const Value& self,
                                 std::string_view name) {
  const auto* method = std::find_if(std::begin(methods), std::end(methods),
                                    [name](const Method& m) { return m.name == name; });
  if (method == std::end(methods)) return std::nullopt;
  return runtime.callable({method->name, self, method->function});
}

Value make_range(Runtime& runtime, const Value&, const Args& args) {
  const Bound bound(runtime, "range", args, {"start", "stop", "step"}, 1);
  const std::int64_t start = bound.has(1) ? bound.integer(0, 0) : 0;
  const std::int64_t stop = bound.integer(bound.has(1) ? 1 : 0, 0), step = bound.integer(2, 1);
  if (step == 0) runtime.fail("range() with step zero");
  std::vector<Value> items;
  for (std::int64_t i = start; step > 0 ? i < stop : i > stop;) {
    if (static_cast<std::int64_t>(items.size()) == kMaxRange)
      runtime.fail(fmt::format("range() of more than {} items", kMaxRange));
    items.push_back(i);
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return runtime.list(std::move(items), List::Kind::range);
}

// Fills from a dict, a list of pairs, and named arguments.
void fill(Runtime& runtime, Dict& dict, const Args& args) {
  for (const Value& source : args.positional) {
    if (const Dict* other = as<Dict>(source)) {
      for (const auto& [key, value] : other->entries)
        dict.set(require_key(runtime, key), key, value);
      continue;
    }
    for (const Value& pair : iterate(runtime, source)->items) {
      const List* parts = iterate(runtime, pair);
      if (parts->items.size() != 2) runtime.fail("a dict is made from pairs");
      dict.set(require_key(runtime, parts->items[0]), parts->items[0], parts->items[1]);
    }
  }
  for (const auto& [name, value] : args.named) dict.set(dict_key(name), runtime.text(name), value);
  runtime.charge_items(dict.entries.size());
}

Value make_dict(Runtime& runtime, const Value&, const Args& args) {
  Dict* dict = runtime.dict();
  fill(runtime, *dict, args);
  return dict;
}

Value make_namespace(Runtime& runtime, const Value&, const Args& args) {
  Namespace* name_space = runtime.name_space();
  fill(runtime, name_space->attributes, args);
  return name_space;
}

Value raise_exception(Runtime& runtime, const Value&, const Args& args) {
  const Bound bound(runtime, "raise_exception", args, {"message"}, 1);
  runtime.refuse(bound.text(0).view());
}

Value strftime_now(Runtime& runtime, const Value&, const Args& args) {
  const Bound bound(runtime, "strftime_now", args, {"format"}, 1);
  std::tm local{};
  std::array<char, 1024> buffer;
  localtime_r(&runtime.now, &local);
  const std::string format(bound.text(0).view());
  const std::size_t length = std::strftime(buffer.data(), buffer.size(), format.c_str(), &local);
  if (length == 0 && !format.empty())
    runtime.fail(
        fmt::format("strftime_now() with the format '{}' is not supported", printable(format, 40)));
  return runtime.text(std::string_view(buffer.data(), length));
}

}  // namespace

std::optional<Value> find_member(Runtime& runtime, const Value& object, std::string_view name) {
  if (as_text(object) != nullptr) return find_text_method(runtime, object, name);
  if (const List* list = as<List>(object); list != nullptr && list->kind == List::Kind::list)
    return find_method(runtime, kListMethods, object, name);
  if (as<Dict>(object) != nullptr) return find_method(runtime, kDictMethods, object, name);
  if (const Namespace* name_space = as<Namespace>(object)) {
    const Value* value = name_space->attributes.find(dict_key(name));
    return value == nullptr ? std::nullopt : std::optional(*value);
  }
  if (Loop* loop = as<Loop>(object)) {
    const auto property = loop_property(runtime, *loop, name);
    return property ? property : find_method(runtime, kLoopMethods, object, name);
  }
  return std::nullopt;
}

void define_functions(Runtime& runtime, Scope& scope) {
  static constexpr Method kFunctions[] = {{"dict", make_dict},
                                          {"namespace", make_namespace},
                                          {"raise_exception", raise_exception},
                                          {"range", make_range},
                                          {"strftime_now", strftime_now}};
  for (const Method& function : kFunctions)
    scope.names[function.name] = runtime.callable({function.name, None{}, function.function});
}

}  // namespace haikuda::jinja
