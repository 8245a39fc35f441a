// Where generated text goes, stdout or a file: exactly its bytes. A terminal gets each token at
// once and no control characters; a pipe and a file get blocks.
#pragma once

#include <string>
#include <string_view>

namespace haikuda {

class TextSink {
 public:
  // `file` empty: stdout. `stream`: write each piece at once wherever it goes. Throws Error(io).
  explicit TextSink(const std::string& file = {}, bool stream = false);
  ~TextSink();
  TextSink(const TextSink&) = delete;
  TextSink& operator=(const TextSink&) = delete;

  // Throws Error(io) when the write fails, Error(broken_pipe) when nobody reads any more.
  void write(std::string_view text);
  // Before stderr, which may be the same terminal, is written to.
  void end_line_on_terminal();
  // Writes what is left; on a terminal ends the last line.
  void finish();

  bool is_terminal() const { return is_terminal_; }
  // Whether the other end of a pipe was closed, which would be noticed only by the next block.
  bool reader_is_gone() const;

 private:
  void flush();

  int fd_;
  std::string name_;
  bool is_terminal_, at_once_;
  bool at_line_start_ = true;
  std::string buffer_;
};

}  // namespace haikuda
