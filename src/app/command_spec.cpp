#include "app/command_spec.h"

#include <algorithm>

namespace haikuda {

const std::string& OptionSpec::canonical() const {
  for (const std::string& name : names)
    if (name.starts_with("--")) return name;
  return names.empty() ? positional : names.front();
}

const OptionSpec* CommandSpec::find(std::string_view wanted) const {
  for (const OptionSpec& option : options)
    if (std::find(option.names.begin(), option.names.end(), wanted) != option.names.end())
      return &option;
  return nullptr;
}

const CommandSpec* ProgramSpec::find(std::string_view command) const {
  for (const CommandSpec& c : commands)
    if (c.name == command) return &c;
  return nullptr;
}

}  // namespace haikuda
