// What may be shown on a stream.
#pragma once

#include <string>
#include <string_view>

namespace haikuda {

// Newlines and tabs pass, other control characters become visible.
std::string for_terminal(std::string_view text);

// Whether escape sequences may be written to the descriptor: a terminal that is not dumb, and no
// NO_COLOR.
bool may_use_escapes(int descriptor);

// Writes to stderr. One that is full or closed takes nothing, and the run goes on.
void tell(std::string_view text);

}  // namespace haikuda
