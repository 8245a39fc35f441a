// Filters that make a string or a number.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <unordered_map>

#include <fmt/format.h>

#include "text/jinja/builtins.h"
#include "text/jinja/chars.h"
#include "text/jinja/format.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

namespace haikuda::jinja {
namespace {

Value filter_abs(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "abs", args, {});
  if (const auto* real = std::get_if<double>(&input)) return std::abs(*real);
  const auto integer = as_integer(input);
  return integer && *integer < 0 ? negate(runtime, input) : plus(runtime, input);
}

template <Text (*kFunction)(Runtime&, const Text&)>
Value text_filter(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "filter", args, {});
  return runtime.text(kFunction(runtime, to_text(runtime, input)));
}

Value filter_default(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "default", args, {"default_value", "boolean"});
  if (!is_undefined(input) && (truth(input) || !bound.flag(1, false))) return input;
  return bound.has(0) ? bound[0] : runtime.text("");
}

Value filter_escape(Runtime& runtime, const Value& input, const Args& args) {
  static constexpr std::pair<const char*, const char*> kEscapes[] = {
      {"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}, {"'", "&#39;"}, {"\"", "&#34;"}};
  const Bound bound(runtime, "escape", args, {});
  Text out = to_text(runtime, input);
  for (const auto& [from, to] : kEscapes)
    out = replace(runtime, out, Text(from, false), Text(to, false), -1);
  return runtime.text(std::move(out));
}

// The float that Python's float() reads; nothing when it raises ValueError.
std::optional<double> parse_real(std::string_view text) {
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end != text.data() + text.size() || text.ends_with(')')) return std::nullopt;
  if (error == std::errc::result_out_of_range) return text.find("e-") == text.npos ? HUGE_VAL : 0.0;
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

std::optional<std::int64_t> parse_integer(Runtime& runtime, std::string_view text, int base) {
  text.remove_prefix(leading_space(text));
  text.remove_suffix(trailing_space(text));
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const std::string_view prefix = base == 16 ? "0x" : base == 8 ? "0o" : base == 2 ? "0b" : "";
  if (!prefix.empty() && text.starts_with(prefix)) text.remove_prefix(2);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error == std::errc::result_out_of_range)
    runtime.fail("an integer of more than 64 bits is not supported");
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value)
                                                                  : std::nullopt;
}

std::int64_t truncate_real(Runtime& runtime, double value) {
  if (!(std::abs(value) < 9.2e18))
    runtime.fail(fmt::format("{} cannot be made an integer", real_repr(value)));
  return static_cast<std::int64_t>(value);
}

Value filter_int(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "int", args, {"default", "base"});
  require_defined(runtime, input);
  const Value fallback = bound.has(0) ? bound[0] : Value(std::int64_t{0});
  if (const auto integer = as_integer(input)) return *integer;
  if (const auto* real = std::get_if<double>(&input))
    return std::isnan(*real) ? fallback : Value(truncate_real(runtime, *real));
  const Text* text = as_text(input);
  if (text == nullptr) return fallback;
  runtime.charge_chars(text->size());
  const std::int64_t base = bound.integer(1, 10);
  if (base < 2 || base > 36) runtime.fail(fmt::format("int() with base {} is not supported", base));
  if (const auto integer = parse_integer(runtime, text->view(), static_cast<int>(base)))
    return *integer;
  const auto real = parse_real(text->view());
  return real && !std::isnan(*real) ? Value(truncate_real(runtime, *real)) : fallback;
}

Value filter_float(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "float", args, {"default"});
  require_defined(runtime, input);
  const Value fallback = bound.has(0) ? bound[0] : Value(0.0);
  if (const auto number = as_number(input)) return *number;
  const Text* text = as_text(input);
  if (text == nullptr) return fallback;
  runtime.charge_chars(text->size());
  const auto real = parse_real(text->view());
  return real ? Value(*real) : fallback;
}

Value filter_format(Runtime& runtime, const Value& input, const Args& args) {
  const Text format = to_text(runtime, input);
  if (args.named.empty())
    return runtime.text(
        format_percent(runtime, format, runtime.list(args.positional, List::Kind::tuple)));
  if (!args.positional.empty()) runtime.fail("format() takes either positional or named arguments");
  Dict* values = runtime.dict();
  for (const auto& [name, value] : args.named)
    values->set(dict_key(name), runtime.text(name), value);
  return runtime.text(format_percent(runtime, format, values));
}

Value filter_indent(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "indent", args, {"width", "first", "blank"});
  require_defined(runtime, input);
  const Text* text = as_text(input);
  if (text == nullptr)
    runtime.fail(fmt::format("indent() needs a string, not '{}'", type_name(input)));
  const Text* width = bound.has(0) ? as_text(bound[0]) : nullptr;
  const Text by =
      width != nullptr ? *width : repeat(runtime, Text(" ", false), bound.integer(0, 4));
  return runtime.text(indent(runtime, *text, by, bound.flag(1, false), bound.flag(2, false)));
}

Value filter_replace(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "replace", args, {"old", "new", "count"}, 2);
  const std::int64_t limit = bound.has(2) && !is_none(bound[2]) ? bound.integer(2, -1) : -1;
  return runtime.text(replace(runtime, to_text(runtime, input), to_text(runtime, bound[0]),
                              to_text(runtime, bound[1]), limit < 0 ? -1 : limit));
}

Value filter_round(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "round", args, {"precision", "method"});
  const std::int64_t precision = bound.integer(0, 0);
  if (precision < 0 || precision > 300)
    runtime.fail(fmt::format("round({}) is not supported", precision));
  require_defined(runtime, input);
  const auto number = as_number(input);
  if (!number) runtime.fail(fmt::format("round() needs a number, not '{}'", type_name(input)));
  const std::string_view method = bound.has(1) ? bound.text(1).view() : "common";
  if (method == "common") {
    if (const auto integer = as_integer(input)) return *integer;
    if (!std::isfinite(*number)) return *number;
    return *parse_real(fmt::format("{:.{}f}", *number, precision));
  }
  if (method != "ceil" && method != "floor")
    runtime.fail("round() takes the method common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(precision));
  return (method == "ceil" ? std::ceil(*number * scale) : std::floor(*number * scale)) / scale;
}

Value filter_string(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "string", args, {});
  return as_text(input) != nullptr ? input : runtime.text(to_text(runtime, input));
}

JsonStyle json_style(Runtime& runtime, const Bound& bound) {
  JsonStyle style;
  style.ensure_ascii = bound.flag(0, false);
  style.sort_keys = bound.flag(3, false);
  if (bound.has(1) && !is_none(bound[1])) {
    const Text* indent = as_text(bound[1]);
    const std::int64_t width = indent == nullptr ? bound.integer(1, 0) : 0;
    if (width > 1000) runtime.fail("tojson() with an indent over 1000 is not supported");
    style.indent = indent != nullptr
                       ? std::string(indent->view())
                       : std::string(width > 0 ? static_cast<std::size_t>(width) : 0, ' ');
    style.item_separator = ",";
  }
  if (bound.has(2) && !is_none(bound[2])) {
    const List* separators = as<List>(bound[2]);
    if (separators == nullptr || separators->items.size() != 2 ||
        as_text(separators->items[0]) == nullptr || as_text(separators->items[1]) == nullptr)
      runtime.fail("tojson() needs two strings as separators");
    style.item_separator = as_text(separators->items[0])->view();
    style.key_separator = as_text(separators->items[1])->view();
  }
  return style;
}

// Hugging Face's tojson: json.dumps without HTML escapes.
Value filter_tojson(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "tojson", args, {"ensure_ascii", "indent", "separators", "sort_keys"});
  Text out;
  print_json(runtime, out, input, json_style(runtime, bound));
  return runtime.text(std::move(out));
}

Value filter_trim(Runtime& runtime, const Value& input, const Args& args) {
  const Bound bound(runtime, "trim", args, {"chars"});
  return runtime.text(strip(runtime, to_text(runtime, input), Side::both, bound.text_or_null(0)));
}

}  // namespace

FilterFunction find_text_filter(std::string_view name) {
  static const std::unordered_map<std::string_view, FilterFunction> kFilters = {
      {"abs", filter_abs},
      {"capitalize", text_filter<capitalize>},
      {"d", filter_default},
      {"default", filter_default},
      {"e", filter_escape},
      {"escape", filter_escape},
      {"float", filter_float},
      {"format", filter_format},
      {"indent", filter_indent},
      {"int", filter_int},
      {"lower", text_filter<lower>},
      {"replace", filter_replace},
      {"round", filter_round},
      {"safe", filter_string},  // nothing is escaped here, so all text is safe
      {"string", filter_string},
      {"title", text_filter<title_filter>},
      {"tojson", filter_tojson},
      {"trim", filter_trim},
      {"upper", text_filter<upper>},
  };
  const auto found = kFilters.find(name);
  return found == kFilters.end() ? nullptr : found->second;
}

}  // namespace haikuda::jinja
