// What may be shown on a stream.
#pragma once

#include <string>
#include <string_view>

namespace haikuda {

// Newlines and tabs pass, other control characters become visible.
std::string for_terminal(std::string_view text);

// A terminal that is not dumb.
bool can_move_cursor(int descriptor);
// Whether escape sequences may be written to the descriptor: a terminal that is not dumb, and no
// NO_COLOR.
bool may_use_escapes(int descriptor);

// --color: "auto", or "on" or "off" as CLICOLOR_FORCE and NO_COLOR in the environment, which it
// sets.
void set_color(const std::string& when);

// "haikuda: error: MESSAGE" on stderr.
void print_error(const char* message);
// Writes to stderr. One that is full or closed takes nothing, and the run goes on.
void tell(std::string_view text);

}  // namespace haikuda
