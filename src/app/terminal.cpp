#include "app/terminal.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/printable.h"

namespace haikuda {
namespace {

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

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
  return !is_set("NO_COLOR") && can_move_cursor(descriptor);
}

void set_color(const std::string& when) {
  if (when == "off") ::setenv("NO_COLOR", "1", 1);
  if (when != "on") return;
  ::unsetenv("NO_COLOR");
  ::setenv("CLICOLOR_FORCE", "1", 1);
}

void print_error(const char* message) {
  const bool red = is_set("CLICOLOR_FORCE") ? !is_set("NO_COLOR") : may_use_escapes(STDERR_FILENO);
  std::fprintf(stderr, "haikuda: %serror:%s %s\n", red ? "\x1b[31m" : "", red ? "\x1b[0m" : "",
               message);
}

}  // namespace haikuda
