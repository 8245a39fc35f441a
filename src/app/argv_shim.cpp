#include "app/argv_shim.h"

#include <algorithm>
#include <map>
#include <numeric>

#include <fmt/format.h>

#include "app/llama_names.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

[[noreturn]] void fail(const std::string& message) {
  throw Error(ExitCode::usage, message + "; see --help");
}

bool is_number(std::string_view text) {
  const std::size_t sign = text.starts_with('-') ? 1 : 0;
  return text.size() > sign && text.find_first_not_of("0123456789", sign) == std::string_view::npos;
}

// "--top_kk" to "--top-kk"; what follows is never touched.
std::string with_dashes(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

class Shim {
 public:
  Shim(const CommandSpec& command, std::span<const std::string> arguments)
      : command_(command), arguments_(arguments) {}

  ShimmedArguments run() {
    while (at_ < arguments_.size()) {
      const std::string& argument = arguments_[at_++];
      if (argument == "--") {
        out_.positionals.insert(out_.positionals.end(),
                                arguments_.begin() + static_cast<std::ptrdiff_t>(at_),
                                arguments_.end());
        break;
      }
      if (argument.starts_with("--"))
        long_option(argument);
      else if (argument.size() > 1 && argument[0] == '-')
        short_option(argument);
      else
        out_.positionals.push_back(argument);
    }
    warn_of_repeated();
    return std::move(out_);
  }

 private:
  void long_option(std::string_view argument) {
    const std::size_t equals = argument.find('=');
    const std::string name = with_dashes(argument.substr(0, equals));
    const std::string* inline_value = nullptr;
    std::string value;
    if (equals != std::string_view::npos) {
      value = argument.substr(equals + 1);
      inline_value = &value;
    }
    if (!take(name, inline_value)) fail_unknown(name);
  }

  // -n 5, -n5, -qv and llama.cpp's -ngl 5.
  void short_option(const std::string& argument) {
    if (take(argument, nullptr)) return;
    const OptionSpec* first = command_.find(argument.substr(0, 2));
    const std::string rest = argument.substr(2);
    if (first != nullptr && first->takes_value() && is_number(rest)) return add(*first, &rest);
    if (first != nullptr && first->takes_value() && rest.starts_with('='))
      fail(fmt::format("write {0} VALUE or {1}=VALUE instead of {0}=VALUE", argument.substr(0, 2),
                       first->canonical()));
    std::vector<const OptionSpec*> flags;
    for (const char letter : argument.substr(1)) {
      const OptionSpec* flag = command_.find(std::string("-") + letter);
      if (flag == nullptr || flag->takes_value()) fail_unknown(argument);
      flags.push_back(flag);
    }
    for (const OptionSpec* flag : flags) add(*flag, nullptr);
  }

  // False when there is no option of that name.
  bool take(const std::string& name, const std::string* inline_value) {
    if (const OptionSpec* option = command_.find(name)) {
      add(*option, inline_value);
      return true;
    }
    const LlamaName* known = find_llama_name(name);
    if (known == nullptr) return false;
    if (known->is_alias()) {
      const OptionSpec* option = command_.find(known->meaning);
      if (option == nullptr) return false;
      add(*option, inline_value);
      return true;
    }
    if (!command_.name.empty() && command_.name != "chat") return false;
    if (take_usual_value(*known, inline_value)) return true;
    if (!known->meaning.empty())
      throw Error(ExitCode::usage, fmt::format("{} is not supported: {}", name, known->meaning));
    return true;
  }

  // Whether the option's value asks for what is done anyway.
  bool take_usual_value(const LlamaName& known, const std::string* inline_value) {
    if (known.usual_value.empty()) return false;
    if (inline_value != nullptr) return *inline_value == known.usual_value;
    if (at_ == arguments_.size() || arguments_[at_] != known.usual_value) return false;
    ++at_;
    return true;
  }

  void add(const OptionSpec& option, const std::string* inline_value) {
    const std::string& name = option.canonical();
    if (!option.takes_value()) {
      if (inline_value != nullptr) fail(fmt::format("{} takes no value", name));
      out_.options.push_back({name, {}, false});
      return;
    }
    if (inline_value == nullptr && at_ == arguments_.size())
      fail(fmt::format("{} needs a value, {}", name, option.value_name));
    out_.options.push_back(
        {name, inline_value != nullptr ? *inline_value : arguments_[at_++], true});
  }

  [[noreturn]] void fail_unknown(const std::string& name) const {
    std::vector<std::string> names;
    for (const OptionSpec& option : command_.options)
      names.insert(names.end(), option.names.begin(), option.names.end());
    const std::string nearest = nearest_name(name, names);
    fail(fmt::format("unknown option {}{}", printable(name),
                     nearest.empty() ? "" : "; did you mean " + nearest + "?"));
  }

  void warn_of_repeated() {
    std::map<std::string, int> counts;
    for (const ShimmedOption& o : out_.options)
      if (o.has_value && !command_.find(o.name)->repeatable) ++counts[o.name];
    for (const auto& [name, n] : counts)
      if (n > 1)
        out_.warnings.push_back(fmt::format("{} was given {} times; the last one counts", name, n));
  }

  const CommandSpec& command_;
  std::span<const std::string> arguments_;
  std::size_t at_ = 0;
  ShimmedArguments out_;
};

// Levenshtein's: insertions, deletions and substitutions.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view wanted, std::span<const std::string> names) {
  constexpr std::size_t kLongest =
      64;  // longer ones are no typing error, and the distance is quadratic
  if (wanted.size() > kLongest) return {};
  std::string best;
  std::size_t best_distance = wanted.size() / 3 + 1;
  for (const std::string& name : names) {
    if (name.size() < 3) continue;  // every short option is near to every other
    const std::size_t distance = edit_distance(wanted, name);
    if (distance < best_distance) best = name, best_distance = distance;
  }
  return best;
}

ShimmedArguments shim_arguments(const CommandSpec& command,
                                std::span<const std::string> arguments) {
  return Shim(command, arguments).run();
}

}  // namespace haikuda
