#include "app/text_sink.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "app/terminal.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr std::size_t kBlockBytes = 4096;

}  // namespace

TextSink::TextSink(const std::string& file, bool stream)
    : fd_(STDOUT_FILENO), name_(file.empty() ? "standard output" : "'" + printable(file) + "'") {
  if (!file.empty()) fd_ = ::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0)
    throw Error(ExitCode::io, fmt::format("cannot write {}: {}", name_, std::strerror(errno)));
  is_terminal_ = ::isatty(fd_) == 1;
  at_once_ = is_terminal_ || stream;
}

TextSink::~TextSink() {
  if (fd_ != STDOUT_FILENO) ::close(fd_);
}

void TextSink::write(std::string_view text) {
  if (text.empty()) return;
  at_line_start_ = text.back() == '\n';
  if (is_terminal_)
    buffer_ += for_terminal(text);
  else
    buffer_ += text;
  if (at_once_ || buffer_.size() >= kBlockBytes) flush();
}

void TextSink::end_line_on_terminal() {
  if (is_terminal_ && !at_line_start_) write("\n");
}

void TextSink::finish() {
  end_line_on_terminal();
  flush();
}

void TextSink::flush() {
  std::string_view rest = buffer_;
  while (!rest.empty()) {
    const ssize_t n = ::write(fd_, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE) throw Error(ExitCode::broken_pipe, "");
    if (n < 0)
      throw Error(ExitCode::io, fmt::format("write to {} failed: {}", name_, std::strerror(errno)));
    rest.remove_prefix(static_cast<std::size_t>(n));
  }
  buffer_.clear();
}

bool TextSink::reader_is_gone() const {
  pollfd descriptor{fd_, 0, 0};
  return ::poll(&descriptor, 1, 0) == 1 && (descriptor.revents & POLLERR) != 0;
}

}  // namespace haikuda
