#include "text/jinja/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/builtins.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"

namespace haikuda::jinja {
namespace {

// [0][width][.precision][type]
struct Spec {
  bool zeros = false;
  int width = 0, precision = -1;
  char type = 0;  // 0: by the type of the value
};

constexpr int kMaxWidth = 1000;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Reads the digits at the start of `text` and leaves what follows them.
int take_number(Runtime& runtime, std::string_view& text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value > kMaxWidth)
    runtime.fail("such a width in a format is not supported");
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

Spec take_spec(Runtime& runtime, std::string_view& text) {
  Spec spec;
  runtime.charge();
  spec.zeros = text.starts_with('0');
  if (!text.empty() && is_digit(text[0])) spec.width = take_number(runtime, text);
  if (text.size() > 1 && text[0] == '.' && is_digit(text[1])) {
    text.remove_prefix(1);
    spec.precision = take_number(runtime, text);
  }
  if (text.empty()) return spec;
  spec.type = text[0];
  text.remove_prefix(1);
  if (std::string_view("srdif").find(spec.type) == std::string_view::npos)
    runtime.fail(
        fmt::format("format '{}' is not supported", printable(std::string_view(&spec.type, 1))));
  return spec;
}

std::string number_text(Runtime& runtime, const Spec& spec, const Value& value) {
  require_defined(runtime, value);
  const auto number = as_number(value);
  if (!number)
    runtime.fail(fmt::format("format '{}' needs a number, not '{}'", spec.type, type_name(value)));
  if (spec.type == 'f')
    return fmt::format("{:.{}f}", *number, spec.precision < 0 ? 6 : spec.precision);
  if (spec.precision >= 0 || !(std::abs(*number) < 9e18))
    runtime.fail("such a format of a number is not supported");
  return std::to_string(as_integer(value).value_or(static_cast<std::int64_t>(*number)));
}

Text padded(Runtime& runtime, const Spec& spec, Text text, bool to_right) {
  const auto length = count_chars(text.view());
  Text blanks = repeat(runtime, Text(" ", false), spec.width - length);
  Text& first = to_right ? blanks : text;
  runtime.append(first, to_right ? text : blanks);
  return first;
}

Text convert(Runtime& runtime, const Spec& spec, const Value& value, bool text_to_right) {
  if (spec.type == 'd' || spec.type == 'i' || spec.type == 'f') {
    std::string digits = number_text(runtime, spec, value);
    const auto width = static_cast<std::size_t>(spec.width);
    if (spec.zeros && digits.size() < width)
      digits.insert(digits[0] == '-' ? 1 : 0, width - digits.size(), '0');
    return padded(runtime, spec, Text(digits, false), true);
  }
  Text text;
  if (spec.type == 'r') {
    print_repr(runtime, text, value);
  } else {
    print(runtime, text, value);
  }
  if (spec.precision >= 0) {
    const std::vector<std::size_t> offsets = char_offsets(text.view());
    text = text.slice(
        0, offsets[std::min(offsets.size() - 1, static_cast<std::size_t>(spec.precision))]);
  }
  return padded(runtime, spec, std::move(text), text_to_right);
}

// The values that % takes: those of a tuple one by one, or one alone, or those of a dict by name.
class PercentValues {
 public:
  PercentValues(Runtime& runtime, const Value& value)
      : runtime_(runtime), mapping_(as<Dict>(value)) {
    const List* list = as<List>(value);
    runtime.charge_items(list == nullptr ? 1 : list->items.size());
    values_ = list != nullptr && list->kind == List::Kind::tuple ? list->items
                                                                 : std::vector<Value>{value};
  }
  Value next() {
    if (used_ == values_.size()) runtime_.fail("not enough arguments for the format string");
    return values_[used_++];
  }
  Value named(std::string_view name) const {
    const Value* value = mapping_ == nullptr ? nullptr : mapping_->find(dict_key(name));
    if (value == nullptr)
      runtime_.fail(fmt::format("no value for '%({})' in a format", printable(name, 40)));
    return *value;
  }
  void finish() const {
    const bool may_be_left =
        mapping_ != nullptr || (values_.size() == 1 && as<List>(values_[0]) != nullptr);
    if (used_ < values_.size() && !may_be_left)
      runtime_.fail("not all arguments converted in a format");
  }

 private:
  Runtime& runtime_;
  const Dict* mapping_;
  std::vector<Value> values_;
  std::size_t used_ = 0;
};

// The value of the field {}, {0} or {name}; `automatic` counts the fields without name.
Value field_value(Runtime& runtime,
                  std::string_view name,
                  const Args& args,
                  std::size_t& automatic) {
  for (const auto& [key, value] : args.named) {
    if (key == name) return value;
  }
  std::size_t at = automatic;
  if (name.empty()) {
    ++automatic;
  } else {
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), at);
    if (error != std::errc() || end != name.data() + name.size())
      runtime.fail(fmt::format("format field '{}' is not supported", printable(name, 40)));
  }
  if (at >= args.positional.size()) runtime.fail("not enough arguments for format()");
  return args.positional[at];
}

Text format_field(Runtime& runtime,
                  std::string_view field,
                  const Args& args,
                  std::size_t& automatic) {
  runtime.charge();
  const std::size_t colon = std::min(field.find(':'), field.size());
  const Value value = field_value(runtime, field.substr(0, colon), args, automatic);
  if (colon == field.size()) return to_text(runtime, value);
  std::string_view rest = field.substr(colon + 1);
  Spec spec = take_spec(runtime, rest);
  if (!rest.empty() || spec.type == 'r' || spec.type == 'i')
    runtime.fail("such a format field is not supported");
  const bool is_integer = std::holds_alternative<std::int64_t>(value);
  if (spec.type == 0 && as_number(value) && !is_integer)
    runtime.fail("such a format of a number is not supported");
  if (spec.type == 0) spec.type = is_integer ? 'd' : 's';
  return convert(runtime, spec, value, false);
}

}  // namespace

Text format_percent(Runtime& runtime, const Text& format, const Value& value) {
  Text out;
  PercentValues values(runtime, value);
  std::string_view rest = format.view();
  const auto offset = [&] { return format.size() - rest.size(); };
  while (!rest.empty()) {
    const std::size_t plain = std::min(rest.find('%'), rest.size());
    runtime.append(out, format, offset(), offset() + plain);
    rest.remove_prefix(plain);
    if (rest.empty()) break;
    rest.remove_prefix(1);
    if (rest.starts_with('%')) {
      runtime.append(out, format, offset(), offset() + 1);
      rest.remove_prefix(1);
      continue;
    }
    std::string_view name;
    const bool is_named = rest.starts_with('(') && rest.find(')') != std::string_view::npos;
    if (is_named) {
      name = rest.substr(1, rest.find(')') - 1);
      rest.remove_prefix(name.size() + 2);
    }
    const Spec spec = take_spec(runtime, rest);
    if (spec.type == 0) runtime.fail("an incomplete format string");
    runtime.append(out,
                   convert(runtime, spec, is_named ? values.named(name) : values.next(), true));
  }
  values.finish();
  return out;
}

Text format_braces(Runtime& runtime, const Text& format, const Args& args) {
  Text out;
  std::size_t automatic = 0;
  const std::string_view view = format.view();
  for (std::size_t at = 0; at < view.size();) {
    const std::size_t brace = std::min(view.find_first_of("{}", at), view.size());
    runtime.append(out, format, at, brace);
    if (brace == view.size()) break;
    if (brace + 1 < view.size() && view[brace + 1] == view[brace]) {
      runtime.append(out, format, brace, brace + 1);
      at = brace + 2;
      continue;
    }
    const std::size_t close = view.find('}', brace + 1);
    if (view[brace] == '}' || close == std::string_view::npos)
      runtime.fail("a single brace in a format string");
    runtime.append(
        out, format_field(runtime, view.substr(brace + 1, close - brace - 1), args, automatic));
    at = close + 1;
  }
  return out;
}

}  // namespace haikuda::jinja
