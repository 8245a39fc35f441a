// Lines of whoever talks to the program: edited on a terminal, as they come from a pipe.
#pragma once

#include <cstdio>
#include <memory>
#include <optional>
#include <string>

namespace haikuda {

class LineReader {
 public:
  virtual ~LineReader() = default;
  // Without its newline; nullopt at the end. `marker` is shown on a terminal. Throws Error(io).
  virtual std::optional<std::string> read_line(const std::string& marker) = 0;
  // Whether a person types them.
  virtual bool is_interactive() const = 0;
};

// Of stdin. The marker goes to stdout or stderr, whichever is a terminal. `history_file`: lines are
// kept there for the next time; empty: nowhere. Throws Error(usage) when lines cannot be edited but
// a history was asked for, Error(io) when it cannot be written.
std::unique_ptr<LineReader> make_line_reader(const std::string& history_file);

// A line, together with those that follow it when it ends in a backslash.
std::optional<std::string> read_message(LineReader& reader);

// With line editing on the terminal `out`; nullptr when the program was built without it.
std::unique_ptr<LineReader> make_line_editor(std::FILE* out, const std::string& history_file);

}  // namespace haikuda
