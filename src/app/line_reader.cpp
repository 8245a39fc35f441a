#include "app/line_reader.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "app/terminal.h"
#include "base/error.h"

namespace haikuda {
namespace {

class PlainReader : public LineReader {
 public:
  // `out`: where the marker goes; nullptr: nowhere.
  explicit PlainReader(std::FILE* out) : out_(out), is_interactive_(::isatty(STDIN_FILENO) == 1) {}
  ~PlainReader() override { std::free(line_); }
  PlainReader(const PlainReader&) = delete;
  PlainReader& operator=(const PlainReader&) = delete;

  std::optional<std::string> read_line(const std::string& marker) override {
    if (out_ != nullptr) {
      std::fputs(marker.c_str(), out_);
      std::fflush(out_);
    }
    std::clearerr(stdin);  // a terminal's end of input is not for ever
    ssize_t n = -1;
    do {
      errno = 0;
      n = ::getline(&line_, &capacity_, stdin);
      if (n < 0 && errno == EINTR) std::clearerr(stdin);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && std::ferror(stdin) != 0)
      throw Error(ExitCode::io, fmt::format("cannot read from stdin: {}", std::strerror(errno)));
    if (n < 0) return std::nullopt;
    std::string text(line_, static_cast<std::size_t>(n));
    if (text.ends_with('\n')) text.pop_back();
    if (text.ends_with('\r')) text.pop_back();
    return text;
  }
  bool is_interactive() const override { return is_interactive_; }

 private:
  std::FILE* out_;
  bool is_interactive_;
  char* line_ = nullptr;
  std::size_t capacity_ = 0;
};

}  // namespace

std::unique_ptr<LineReader> make_line_reader(const std::string& history_file) {
  std::FILE* out = ::isatty(STDOUT_FILENO) == 1   ? stdout
                   : ::isatty(STDERR_FILENO) == 1 ? stderr
                                                  : nullptr;
  if (::isatty(STDIN_FILENO) != 1) out = nullptr;
  if (out != nullptr && can_move_cursor(::fileno(out)))
    if (auto editor = make_line_editor(out, history_file)) return editor;
  if (!history_file.empty())
    throw Error(ExitCode::usage,
                "--history is for lines that are edited: stdin is no terminal that can do so, or "
                "this executable was built without libedit");
  return std::make_unique<PlainReader>(out);
}

std::optional<std::string> read_message(LineReader& reader) {
  std::optional<std::string> line = reader.read_line("> ");
  if (!line) return std::nullopt;
  std::string message = *std::move(line);
  while (message.ends_with('\\')) {
    message.pop_back();
    line = reader.read_line("| ");
    if (!line) break;
    message += "\n" + *line;
  }
  return message;
}

}  // namespace haikuda
