#include "app/metadata_overrides.h"

#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "base/utf8.h"

namespace haikuda {
namespace {

template <class T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc{} && end == last ? std::optional(value) : std::nullopt;
}

// nullopt where the text is none of the type.
std::optional<MetaValue> value_of(std::string_view type, std::string_view text) {
  if (type == "int") {
    const auto n = number_of<std::int64_t>(text);
    return n ? std::optional(MetaValue{MetaType::i64, {}, *n}) : std::nullopt;
  }
  if (type == "float") {
    const auto x = number_of<double>(text);
    if (!x || !std::isfinite(*x)) return std::nullopt;
    return MetaValue{MetaType::f64, {}, *x};
  }
  if (type == "bool") {
    if (text != "true" && text != "false") return std::nullopt;
    return MetaValue{MetaType::boolean, {}, text == "true"};
  }
  if (type != "str" || find_invalid_utf8(text)) return std::nullopt;
  return MetaValue{MetaType::string, {}, std::string(text)};
}

}  // namespace

void apply_overrides(std::span<const std::string> overrides, Metadata& metadata) {
  for (const std::string& text : overrides) {
    const std::string_view all = text;
    const std::size_t equals = all.find('='), colon = all.find(':', equals);
    std::optional<MetaValue> value;
    if (equals != std::string_view::npos && equals > 0 && colon != std::string_view::npos)
      value = value_of(all.substr(equals + 1, colon - equals - 1), all.substr(colon + 1));
    if (!value)
      throw Error(ExitCode::usage,
                  fmt::format("--override-kv: '{}' is not KEY=int:N, KEY=float:X, KEY=bool:true or "
                              "KEY=str:TEXT",
                              printable(text)));
    metadata.set(text.substr(0, equals), *std::move(value));
  }
}

}  // namespace haikuda
