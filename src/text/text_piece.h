// A stretch of rendered text of one origin.
#pragma once

#include <string>

namespace haikuda {

// Only what comes from a template may become special tokens, the user's text never.
struct TextPiece {
  std::string text;
  bool from_input = false;
};

}  // namespace haikuda
