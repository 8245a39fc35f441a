// Stands in for line_editor.cpp where there is no libedit.
#include "app/line_reader.h"

namespace haikuda {

std::unique_ptr<LineReader> make_line_editor(std::FILE*, const std::string&) {
  return nullptr;
}

}  // namespace haikuda
