// --help and the manual page, from the definitions of the options.
#pragma once

#include <string>

#include "app/command_spec.h"

namespace haikuda {

std::string help_text(const ProgramSpec& program, const CommandSpec& command);
std::string man_page(const ProgramSpec& program);  // roff, man(7)

}  // namespace haikuda
