#include "text/jinja/builtins.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/printable.h"
#include "text/jinja/operators.h"

namespace haikuda::jinja {

Bound::Bound(Runtime& runtime,
             std::string_view callee,
             const Args& args,
             std::initializer_list<std::string_view> names,
             std::size_t n_required)
    : runtime_(runtime), callee_(callee), values_(names.size()), given_(names.size()) {
  if (args.positional.size() > names.size())
    runtime.fail(fmt::format("{}() takes at most {} arguments, {} given", callee, names.size(),
                             args.positional.size()));
  for (std::size_t i = 0; i < args.positional.size(); ++i) {
    values_[i] = args.positional[i];
    given_[i] = true;
  }
  for (const auto& [name, value] : args.named) {
    const auto i =
        static_cast<std::size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    if (i == names.size()) runtime.fail(fmt::format("{}() has no argument '{}'", callee, name));
    if (given_[i]) runtime.fail(fmt::format("{}() got the argument '{}' twice", callee, name));
    values_[i] = value;
    given_[i] = true;
  }
  for (std::size_t i = 0; i < n_required; ++i) {
    if (!given_[i])
      runtime.fail(fmt::format("{}() needs the argument '{}'", callee, names.begin()[i]));
  }
}

const Text& Bound::text(std::size_t i) const {
  require_defined(runtime_, values_[i]);
  const Text* text = as_text(values_[i]);
  if (text == nullptr)
    runtime_.fail(fmt::format("{}() needs a string as argument {}, not '{}'", callee_, i + 1,
                              type_name(values_[i])));
  return *text;
}

const Text* Bound::text_or_null(std::size_t i) const {
  return given_[i] && !is_none(values_[i]) ? &text(i) : nullptr;
}

std::int64_t Bound::integer(std::size_t i, std::int64_t fallback) const {
  if (!given_[i]) return fallback;
  require_defined(runtime_, values_[i]);
  const auto integer = as_integer(values_[i]);
  if (!integer)
    runtime_.fail(fmt::format("{}() needs an integer as argument {}, not '{}'", callee_, i + 1,
                              type_name(values_[i])));
  return *integer;
}

bool Bound::flag(std::size_t i, bool fallback) const {
  return given_[i] ? truth(values_[i]) : fallback;
}

FilterFunction find_filter(std::string_view name) {
  const FilterFunction filter = find_text_filter(name);
  return filter != nullptr ? filter : find_sequence_filter(name);
}

Value apply_filter(Runtime& runtime, std::string_view name, const Value& input, const Args& args) {
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr)
    runtime.fail(fmt::format("filter '{}' is not supported", printable(name, 40)));
  runtime.charge(name.size());
  return filter(runtime, input, args);
}

bool apply_test(Runtime& runtime, std::string_view name, const Value& input, const Args& args) {
  const TestFunction test = find_test(name);
  if (test == nullptr) runtime.fail(fmt::format("test '{}' is not supported", printable(name, 40)));
  runtime.charge(name.size());
  return test(runtime, input, args);
}

}  // namespace haikuda::jinja
