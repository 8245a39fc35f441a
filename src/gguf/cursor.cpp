#include "gguf/cursor.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {

std::string_view Cursor::read_string(std::size_t max_bytes, std::string_view what) {
  const auto length = read<std::uint64_t>(what);
  if (length > remaining())
    fail(fmt::format("{}: string of {} bytes exceeds the file ({} bytes left)", what, length,
                     remaining()));
  if (length > max_bytes)
    fail(fmt::format("{}: string of {} bytes, at most {} allowed", what, length, max_bytes));
  const auto* begin = reinterpret_cast<const char*>(bytes_.data() + position_);
  position_ += static_cast<std::size_t>(length);
  return {begin, static_cast<std::size_t>(length)};
}

void Cursor::fail(const std::string& problem) const {
  throw Error(ExitCode::model_file,
              fmt::format("{}: {} (at byte {})", printable(file_name_), problem, position_));
}

void Cursor::fail_truncated(std::uint64_t n, std::string_view what) const {
  fail(fmt::format("the file is truncated in {}: needs {} bytes, {} left; download it again", what,
                   n, remaining()));
}

}  // namespace haikuda
