// Text from files and paths made safe for a terminal and for one line of a log.
#pragma once

#include <string>
#include <string_view>

namespace haikuda {

// Printable ASCII and well-formed printable UTF-8 stay; control characters, bidirectional overrides
// and invalid bytes become \xNN or \u{N}. Longer than `max_chars` is cut with an ellipsis.
std::string printable(std::string_view text, std::size_t max_chars = 256);

}  // namespace haikuda
