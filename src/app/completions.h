// Completion scripts for shells, from the definitions of the options.
#pragma once

#include <string>
#include <string_view>

#include "app/command_spec.h"

namespace haikuda {

// `shell` is bash, zsh or fish.
std::string completion_script(const ProgramSpec& program, std::string_view shell);

}  // namespace haikuda
