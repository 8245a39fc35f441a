#include "text/jinja/print.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/utf8.h"
#include "text/jinja/chars.h"
#include "text/jinja/operators.h"

namespace haikuda::jinja {
namespace {

// `escape` turns a character into what stands for it, or returns false when it stands for itself.
template <class Escape>
void print_escaped(Runtime& runtime, Text& out, const Text& text, Escape escape) {
  runtime.charge_chars(text.size());
  const std::string_view view = text.view();
  std::size_t plain = 0;
  std::string escaped;
  for (std::size_t at = 0; at < view.size();) {
    const Utf8Char c = decode_utf8(view.substr(at));
    const std::size_t end = at + static_cast<std::size_t>(c.length);
    escaped.clear();
    if (c.valid && escape(escaped, c.code_point)) {
      runtime.append(out, text, plain, at);
      runtime.append(out, escaped, text.from_input_at(at));
      plain = end;
    }
    at = end;
  }
  runtime.append(out, text, plain, view.size());
}

void print_text_repr(Runtime& runtime, Text& out, const Text& text) {
  const bool has_single = text.view().find('\'') != std::string_view::npos;
  const char quote = has_single && text.view().find('"') == std::string_view::npos ? '"' : '\'';
  runtime.append(out, std::string_view(&quote, 1));
  print_escaped(runtime, out, text, [quote](std::string& escaped, char32_t c) {
    if (c == static_cast<char32_t>(quote) || c == '\\') {
      escaped = {'\\', static_cast<char>(c)};
    } else if (c == '\n' || c == '\r' || c == '\t') {
      escaped = c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (!is_printable(c) && c != ' ') {
      const auto code = static_cast<unsigned>(c);
      escaped = c < 0x100     ? fmt::format("\\x{:02x}", code)
                : c < 0x10000 ? fmt::format("\\u{:04x}", code)
                              : fmt::format("\\U{:08x}", code);
    }
    return !escaped.empty();
  });
  runtime.append(out, std::string_view(&quote, 1));
}

void print_dict_repr(Runtime& runtime, Text& out, const Dict& dict) {
  runtime.append(out, "{");
  for (std::size_t i = 0; i < dict.entries.size(); ++i) {
    if (i > 0) runtime.append(out, ", ");
    print_repr(runtime, out, dict.entries[i].first);
    runtime.append(out, ": ");
    print_repr(runtime, out, dict.entries[i].second);
  }
  runtime.append(out, "}");
}

void print_list_repr(Runtime& runtime, Text& out, const List& list) {
  const bool is_tuple = list.kind == List::Kind::tuple;
  const bool is_view = !is_tuple && list.kind != List::Kind::list;
  if (list.kind == List::Kind::range || list.kind == List::Kind::generator)
    runtime.fail(
        fmt::format("printing a '{}' is not supported; pass it through 'list'", type_name(list)));
  if (is_view) runtime.append(out, fmt::format("{}(", type_name(list)));
  runtime.append(out, is_tuple ? "(" : "[");
  for (std::size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) runtime.append(out, ", ");
    print_repr(runtime, out, list.items[i]);
  }
  if (is_tuple && list.items.size() == 1) runtime.append(out, ",");
  runtime.append(out, is_tuple ? ")" : "]");
  if (is_view) runtime.append(out, ")");
}

std::string scalar(const Value& value) {
  if (const auto* boolean = std::get_if<bool>(&value)) return *boolean ? "True" : "False";
  if (const auto* integer = std::get_if<std::int64_t>(&value)) return std::to_string(*integer);
  if (const auto* real = std::get_if<double>(&value)) return real_repr(*real);
  return is_none(value) ? "None" : "Undefined";
}

bool escape_json(std::string& escaped, char32_t c, bool ensure_ascii) {
  static constexpr std::string_view kFrom = "\"\\\n\r\t\b\f", kTo = "\"\\nrtbf";
  const std::size_t short_form =
      c < 0x80 ? kFrom.find(static_cast<char>(c)) : std::string_view::npos;
  if (short_form != std::string_view::npos) {
    escaped = {'\\', kTo[short_form]};
  } else if (c < 0x20 || (ensure_ascii && c >= 0x7f && c < 0x10000)) {
    escaped = fmt::format("\\u{:04x}", static_cast<unsigned>(c));
  } else if (ensure_ascii && c >= 0x10000) {
    const auto bits = static_cast<unsigned>(c) - 0x10000;
    escaped = fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (bits >> 10), 0xdc00 + (bits & 0x3ff));
  }
  return !escaped.empty();
}

class JsonPrinter {
 public:
  JsonPrinter(Runtime& runtime, Text& out, const JsonStyle& style)
      : runtime_(runtime), out_(out), style_(style) {}

  void print_value(const Value& value) {
    const Nesting nesting(runtime_);
    if (const Text* text = as_text(value)) return print_text(*text);
    if (const List* list = as<List>(value);
        list != nullptr && (list->kind == List::Kind::list || list->kind == List::Kind::tuple))
      return print_list(*list);
    if (const Dict* dict = as<Dict>(value)) return print_dict(*dict);
    if (!is_none(value) && !as_number(value))
      runtime_.fail(
          fmt::format("an object of type '{}' is not JSON serializable", type_name(value)));
    runtime_.append(out_, json_scalar(value));
  }

 private:
  static std::string json_scalar(const Value& value) {
    if (const auto* boolean = std::get_if<bool>(&value)) return *boolean ? "true" : "false";
    if (const auto* real = std::get_if<double>(&value); real != nullptr && !std::isfinite(*real))
      return std::isnan(*real) ? "NaN" : *real < 0 ? "-Infinity" : "Infinity";
    return is_none(value) ? "null" : scalar(value);
  }

  void print_text(const Text& text) {
    runtime_.append(out_, "\"");
    print_escaped(runtime_, out_, text, [this](std::string& escaped, char32_t c) {
      return escape_json(escaped, c, style_.ensure_ascii);
    });
    runtime_.append(out_, "\"");
  }

  void print_key(const Value& key) {
    if (const Text* text = as_text(key)) {
      print_text(*text);
    } else {
      runtime_.append(out_, fmt::format("\"{}\"", json_scalar(key)));
    }
  }

  void new_line() {
    if (!style_.indent) return;
    runtime_.append(out_, "\n");
    for (int i = 0; i < level_; ++i) runtime_.append(out_, *style_.indent);
  }

  // One item after the other between the brackets, each on its line when there is an indent.
  template <class Items, class PrintItem>
  void print_items(char open, char close, const Items& items, PrintItem print_item) {
    runtime_.append(out_, std::string_view(&open, 1));
    ++level_;
    bool is_first = true;
    for (const auto& item : items) {
      if (!is_first) runtime_.append(out_, style_.item_separator);
      is_first = false;
      new_line();
      print_item(item);
    }
    --level_;
    if (!is_first) new_line();
    runtime_.append(out_, std::string_view(&close, 1));
  }

  void print_list(const List& list) {
    print_items('[', ']', list.items, [this](const Value& item) { print_value(item); });
  }

  void print_dict(const Dict& dict) {
    runtime_.charge_items(dict.entries.size());
    auto entries = dict.entries;
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(), [this](const auto& a, const auto& b) {
        return less(runtime_, a.first, b.first);
      });
    }
    print_items('{', '}', entries, [this](const auto& entry) {
      print_key(entry.first);
      runtime_.append(out_, style_.key_separator);
      print_value(entry.second);
    });
  }

  Runtime& runtime_;
  Text& out_;
  const JsonStyle& style_;
  int level_ = 0;
};

}  // namespace

std::string real_repr(double value) {
  if (!std::isfinite(value)) return std::isnan(value) ? "nan" : value < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto* end =
      std::to_chars(buffer, std::end(buffer), std::abs(value), std::chars_format::scientific).ptr;
  const std::string_view shortest(buffer, static_cast<std::size_t>(end - buffer));  // d.ddde±dd
  const std::size_t e = shortest.find('e');
  const int exponent = std::stoi(std::string(shortest.substr(e + 1)));
  std::string digits(shortest.substr(0, e));
  std::erase(digits, '.');
  const std::string sign = std::signbit(value) ? "-" : "";
  const auto n = static_cast<int>(digits.size());
  if (exponent < -4 || exponent >= 16) {
    const std::string fraction = n > 1 ? "." + digits.substr(1) : "";
    return fmt::format("{}{}{}e{:+03d}", sign, digits[0], fraction, exponent);
  }
  const int n_whole = exponent + 1;  // digits before the point; negative: zeros after it
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<std::size_t>(-n_whole), '0') + digits;
  if (n <= n_whole)
    return sign + digits + std::string(static_cast<std::size_t>(n_whole - n), '0') + ".0";
  return sign + digits.insert(static_cast<std::size_t>(n_whole), ".");
}

void print(Runtime& runtime, Text& out, const Value& value) {
  if (is_undefined(value)) return;
  if (const Text* text = as_text(value)) return runtime.append(out, *text);
  print_repr(runtime, out, value);
}

Text to_text(Runtime& runtime, const Value& value) {
  Text out;
  print(runtime, out, value);
  return out;
}

void print_repr(Runtime& runtime, Text& out, const Value& value) {
  const Nesting nesting(runtime);
  if (const Text* text = as_text(value)) {
    print_text_repr(runtime, out, *text);
  } else if (const List* list = as<List>(value)) {
    print_list_repr(runtime, out, *list);
  } else if (const Dict* dict = as<Dict>(value)) {
    print_dict_repr(runtime, out, *dict);
  } else if (const Namespace* name_space = as<Namespace>(value)) {
    runtime.append(out, "<Namespace ");
    print_dict_repr(runtime, out, name_space->attributes);
    runtime.append(out, ">");
  } else if (value.index() > Value(static_cast<Namespace*>(nullptr)).index()) {
    runtime.fail(fmt::format("printing a '{}' is not supported", type_name(value)));
  } else {
    runtime.append(out, scalar(value));
  }
}

void print_json(Runtime& runtime, Text& out, const Value& value, const JsonStyle& style) {
  JsonPrinter(runtime, out, style).print_value(value);
}

}  // namespace haikuda::jinja
