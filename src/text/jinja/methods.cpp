// Methods of strings.
#include <algorithm>
#include <unordered_map>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/builtins.h"
#include "text/jinja/chars.h"
#include "text/jinja/format.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

namespace haikuda::jinja {
namespace {

const Text& text_of(const Value& self) {
  return *as_text(self);
}

Value texts(Runtime& runtime, std::vector<Text> parts) {
  std::vector<Value> items;
  items.reserve(parts.size());
  for (Text& part : parts) items.push_back(runtime.text(std::move(part)));
  return runtime.list(std::move(items));
}

template <Text (*kFunction)(Runtime&, const Text&)>
Value mapped(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "method", args, {});
  return runtime.text(kFunction(runtime, text_of(self)));
}

template <Side kSide>
Value text_strip(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "strip", args, {"chars"});
  return runtime.text(strip(runtime, text_of(self), kSide, bound.text_or_null(0)));
}

template <Side kSide>
Value text_split(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "split", args, {"sep", "maxsplit"});
  return texts(runtime,
               split(runtime, text_of(self), bound.text_or_null(0), bound.integer(1, -1), kSide));
}

Value text_splitlines(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "splitlines", args, {"keepends"});
  return texts(runtime, split_lines(runtime, text_of(self), bound.flag(0, false)));
}

// startswith and endswith: a string, or a tuple of them of which one has to fit.
template <bool kAtStart>
Value text_fits(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, kAtStart ? "startswith" : "endswith", args, {"part"}, 1);
  const auto fits = [&](const Text& part) {
    runtime.charge(part.size());
    return kAtStart ? text_of(self).view().starts_with(part.view())
                    : text_of(self).view().ends_with(part.view());
  };
  const List* parts = as<List>(bound[0]);
  if (parts == nullptr || parts->kind != List::Kind::tuple) return fits(bound.text(0));
  return std::any_of(parts->items.begin(), parts->items.end(), [&](const Value& part) {
    if (as_text(part) == nullptr) runtime.fail("startswith() and endswith() need strings");
    return fits(*as_text(part));
  });
}

template <bool kAtStart>
Value text_remove(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, kAtStart ? "removeprefix" : "removesuffix", args, {"part"}, 1);
  const Text &text = text_of(self), &part = bound.text(0);
  if (!(kAtStart ? text.view().starts_with(part.view()) : text.view().ends_with(part.view())))
    return self;
  return runtime.text(kAtStart ? text.slice(part.size(), text.size())
                               : text.slice(0, text.size() - part.size()));
}

Value text_replace(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "replace", args, {"old", "new", "count"}, 2);
  const std::int64_t limit = bound.integer(2, -1);
  return runtime.text(
      replace(runtime, text_of(self), bound.text(0), bound.text(1), limit < 0 ? -1 : limit));
}

// The position in characters where the byte offset is; -1 for none.
Value position(const Text& text, std::size_t offset) {
  return offset == std::string_view::npos ? std::int64_t{-1}
                                          : count_chars(text.view().substr(0, offset));
}

Value text_find(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "find", args, {"sub", "start"}, 1);
  const Text& text = text_of(self);
  runtime.charge_chars(text.size());
  const std::vector<std::size_t> offsets = char_offsets(text.view());
  const auto n = static_cast<std::int64_t>(offsets.size()) - 1;
  const std::int64_t start = bound.integer(1, 0);
  if (start > n) return std::int64_t{-1};
  const std::int64_t from = start < 0 ? std::max<std::int64_t>(0, std::max(start, -n) + n) : start;
  return position(
      text, find_bytes(text.view(), bound.text(0).view(), offsets[static_cast<std::size_t>(from)]));
}

Value text_index(Runtime& runtime, const Value& self, const Args& args) {
  const Value found = text_find(runtime, self, args);
  if (std::get<std::int64_t>(found) < 0) runtime.fail("index(): substring not found");
  return found;
}

Value text_rfind(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "rfind", args, {"sub"}, 1);
  const Text& part = bound.text(0);
  if (part.empty()) return count_chars(text_of(self).view());
  const std::vector<Text> parts = split(runtime, text_of(self), &part, 1, Side::right);
  return position(text_of(self), parts.size() < 2 ? std::string_view::npos : parts[0].size());
}

Value text_count(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "count", args, {"sub"}, 1);
  return count_occurrences(runtime, text_of(self), bound.text(0));
}

Value text_join(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "join", args, {"iterable"}, 1);
  Text out;
  bool is_first = true;
  for (const Value& item : iterate(runtime, bound[0])->items) {
    if (as_text(item) == nullptr)
      runtime.fail(fmt::format("join() needs strings, not '{}'", type_name(item)));
    if (!is_first) runtime.append(out, text_of(self));
    is_first = false;
    runtime.append(out, *as_text(item));
  }
  return runtime.text(std::move(out));
}

Value text_format(Runtime& runtime, const Value& self, const Args& args) {
  return runtime.text(format_braces(runtime, text_of(self), args));
}

// True when there are characters and all of them are of the kind.
template <bool (*kIs)(char32_t)>
Value all_are(Runtime& runtime, const Value& self, const Args& args) {
  const Bound bound(runtime, "method", args, {});
  const std::string_view view = text_of(self).view();
  runtime.charge_chars(view.size());
  for (std::size_t at = 0; at < view.size();) {
    const Utf8Char c = decode_utf8(view.substr(at));
    if (!c.valid || !kIs(c.code_point)) return false;
    at += static_cast<std::size_t>(c.length);
  }
  return !view.empty();
}

bool is_ascii_digit(char32_t c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char32_t c) {
  return (c | 0x20) >= 'a' && (c | 0x20) <= 'z' ? true : c >= 0x80 && is_cased(c);
}
bool is_letter_or_digit(char32_t c) {
  return is_letter(c) || is_ascii_digit(c);
}

Value text_test(Runtime& runtime, const Value& self, const Args& args, std::string_view test) {
  return apply_test(runtime, test, self, args);
}
Value text_islower(Runtime& runtime, const Value& self, const Args& args) {
  return text_test(runtime, self, args, "lower");
}
Value text_isupper(Runtime& runtime, const Value& self, const Args& args) {
  return text_test(runtime, self, args, "upper");
}

}  // namespace

std::optional<Value> find_text_method(Runtime& runtime, const Value& text, std::string_view name) {
  static const std::unordered_map<std::string_view, FilterFunction> kMethods = {
      {"capitalize", mapped<capitalize>},
      {"count", text_count},
      {"endswith", text_fits<false>},
      {"find", text_find},
      {"format", text_format},
      {"index", text_index},
      {"isalnum", all_are<is_letter_or_digit>},
      {"isalpha", all_are<is_letter>},
      {"isdigit", all_are<is_ascii_digit>},
      {"islower", text_islower},
      {"isspace", all_are<is_space>},
      {"isupper", text_isupper},
      {"join", text_join},
      {"lower", mapped<lower>},
      {"lstrip", text_strip<Side::left>},
      {"removeprefix", text_remove<true>},
      {"removesuffix", text_remove<false>},
      {"replace", text_replace},
      {"rfind", text_rfind},
      {"rsplit", text_split<Side::right>},
      {"rstrip", text_strip<Side::right>},
      {"split", text_split<Side::left>},
      {"splitlines", text_splitlines},
      {"startswith", text_fits<true>},
      {"strip", text_strip<Side::both>},
      {"title", mapped<title>},
      {"upper", mapped<upper>},
  };
  const auto found = kMethods.find(name);
  if (found == kMethods.end()) return std::nullopt;
  return runtime.callable({found->first, text, found->second});
}

}  // namespace haikuda::jinja
