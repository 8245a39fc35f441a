#include "app/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/printable.h"

namespace haikuda {

std::string for_terminal(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find_first_of("\n\t"), text.size());
    out += printable(text.substr(0, end), end);
    if (end < text.size()) out += text[end];
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

void tell(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

bool can_move_cursor(int descriptor) {
  const char* term = std::getenv("TERM");
  if (term == nullptr || *term == '\0' || std::string_view(term) == "dumb") return false;
  return ::isatty(descriptor) == 1;
}

bool may_use_escapes(int descriptor) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  return can_move_cursor(descriptor);
}

void print_error(const char* message) {
  const bool red = may_use_escapes(STDERR_FILENO);
  std::fprintf(stderr, "haikuda: %serror:%s %s\n", red ? "\x1b[31m" : "", red ? "\x1b[0m" : "",
               message);
}

}  // namespace haikuda
