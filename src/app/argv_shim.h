// Arguments as people type them to arguments as the parser reads them: llama.cpp's names, '_' for
// '-', --name=value. Knows which option takes a value, so that a value is never touched. Converts
// and checks no values.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/command_spec.h"

namespace haikuda {

struct ShimmedOption {
  std::string name;  // canonical, e.g. "--predict"
  std::string value;
  bool has_value = false;
};

struct ShimmedArguments {
  std::vector<ShimmedOption> options;  // in the order they were given
  std::vector<std::string> positionals;
  std::vector<std::string> warnings;  // repeated options of which the last one counts
};

// `arguments` without the program's and the command's name. Throws Error(usage) for an option that
// is unknown (with the nearest one), that lacks its value, or that llama.cpp has and we do not.
ShimmedArguments shim_arguments(const CommandSpec& command, std::span<const std::string> arguments);

// The name that differs least from `wanted`; empty when none is near.
std::string nearest_name(std::string_view wanted, std::span<const std::string> names);

}  // namespace haikuda
