#include "app/option_sources.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

using Sourced = std::vector<SourcedOption>;

// llama.cpp's variables whose name is not LLAMA_ARG_ and the long option's.
struct LlamaVariable {
  std::string_view option, name;
};
constexpr std::array kLlamaVariables = {
    LlamaVariable{"--predict", "LLAMA_ARG_N_PREDICT"},
    LlamaVariable{"--gpu-layers", "LLAMA_ARG_N_GPU_LAYERS"},
    LlamaVariable{"--batch-size", "LLAMA_ARG_BATCH"},
    LlamaVariable{"--ubatch-size", "LLAMA_ARG_UBATCH"},
    LlamaVariable{"--chat-template", "LLAMA_ARG_CHAT_TEMPLATE_FILE"},
};

// Of each line one holds at a time, so one of a higher source hides all of the lower ones.
constexpr std::array<std::array<std::string_view, 4>, 5> kAlternatives = {{
    {"--raw", "--chat", "--system", "--system-file"},
    {"--json", "--jsonl", "", ""},
    {"--device", "--main-gpu", "--gpu-layers", ""},
    {"--quiet", "--verbose", "", ""},
    {"--stats", "--no-stats", "", ""},
}};

std::optional<std::string> environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

std::string variable_name(std::string_view prefix, std::string_view option) {
  std::string name(prefix);
  for (const char c : option.substr(2))
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return name;
}

// Help is asked for, never configured; a shell's or a config file's name is not a setting.
bool can_be_configured(const OptionSpec& option) {
  return !option.is_positional() && option.canonical().starts_with("--") && option.group != "Help";
}

bool is_true(const std::string& text, const std::string& origin) {
  for (const char* yes : {"1", "true", "on", "yes"})
    if (text == yes) return true;
  for (const char* no : {"0", "false", "off", "no"})
    if (text == no) return false;
  throw Error(ExitCode::usage,
              fmt::format("{}: '{}' is none of on, off, true, false, yes, no, 1, 0", origin,
                          printable(text)));
}

void add(Sourced& out,
         const OptionSpec& option,
         const std::string& value,
         const std::string& origin) {
  if (option.takes_value())
    out.push_back({option.canonical(), value, true, origin});
  else if (is_true(value, origin))
    out.push_back({option.canonical(), {}, false, origin});
}

Sourced from_environment(const CommandSpec& command) {
  Sourced out;
  for (const OptionSpec& option : command.options) {
    if (!can_be_configured(option)) continue;
    std::vector<std::string> names = {variable_name("HAIKUDA_", option.canonical()),
                                      variable_name("LLAMA_ARG_", option.canonical())};
    for (const LlamaVariable& v : kLlamaVariables)
      if (v.option == option.canonical()) names.emplace_back(v.name);
    for (const std::string& name : names) {
      const auto value = environment(name);
      if (!value) continue;
      add(out, option, *value, "environment " + name);
      break;
    }
  }
  return out;
}

// Empty: there is none. The second is whether it was named and so must be there.
std::pair<std::string, bool> config_path(const Sourced& flags) {
  for (const SourcedOption& o : flags)
    if (o.name == "--config") return {o.value, true};
  if (const char* named = std::getenv("HAIKUDA_CONFIG")) return {named, *named != '\0'};
  if (const auto folder = environment("XDG_CONFIG_HOME"))
    return {*folder + "/haikuda/config.ini", false};
  if (const auto home = environment("HOME")) return {*home + "/.config/haikuda/config.ini", false};
  return {};
}

Sourced from_config(const ProgramSpec& program, const CommandSpec& command, const Sourced& flags) {
  const auto [path, must_exist] = config_path(flags);
  if (path.empty() || (!must_exist && ::access(path.c_str(), F_OK) != 0)) return {};
  const std::string origin = "config " + printable(path);
  Sourced out;
  for (const ConfigValue& item : read_config_file(path)) {
    if (!item.section.empty() && program.find(item.section) == nullptr)
      throw Error(ExitCode::usage, fmt::format("{}: section [{}] is no command", printable(path),
                                               printable(item.section)));
    std::string name = "--" + item.name;
    std::replace(name.begin(), name.end(), '_', '-');
    const auto known = [&](const CommandSpec& c) {
      const OptionSpec* option = c.find(name);
      return option != nullptr && can_be_configured(*option) &&
             (item.section.empty() || item.section == c.name);
    };
    if (std::none_of(program.commands.begin(), program.commands.end(), known))
      throw Error(ExitCode::usage, fmt::format("{}: '{}' is no option that can be configured",
                                               printable(path), printable(item.name)));
    if (!known(command)) continue;
    for (const std::string& value : item.values) add(out, *command.find(name), value, origin);
  }
  return out;
}

bool are_alternatives(std::string_view a, std::string_view b) {
  for (const auto& names : kAlternatives) {
    const auto has = [&](std::string_view name) {
      return std::find(names.begin(), names.end(), name) != names.end();
    };
    if (has(a) && has(b)) return true;
  }
  return a == b;
}

void append_lower(Sourced& out, const Sourced& lower) {
  const std::size_t n_higher = out.size();
  for (const SourcedOption& option : lower) {
    const auto higher = std::span(out).first(n_higher);
    const bool hidden = std::any_of(higher.begin(), higher.end(), [&](const SourcedOption& o) {
      return are_alternatives(o.name, option.name);
    });
    if (!hidden) out.push_back(option);
  }
}

}  // namespace

Sourced merge_sources(const ProgramSpec& program,
                      const CommandSpec& command,
                      const std::vector<ShimmedOption>& flags) {
  Sourced out;
  for (const ShimmedOption& flag : flags)
    out.push_back({flag.name, flag.value, flag.has_value, "flag"});
  const Sourced config = from_config(program, command, out);
  append_lower(out, from_environment(command));
  append_lower(out, config);
  return out;
}

}  // namespace haikuda
