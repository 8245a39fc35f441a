// Reads little-endian values from bytes that nobody has checked. Never reads past the end.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <type_traits>

namespace haikuda {

static_assert(std::endian::native == std::endian::little, "GGUF is read without byte swapping");

class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::string file_name)
      : bytes_(bytes), file_name_(std::move(file_name)) {}

  std::size_t position() const { return position_; }
  std::size_t remaining() const { return bytes_.size() - position_; }

  // `what` names the field in the message when the bytes run out.
  template <class T>
  requires std::is_arithmetic_v<T> T read(std::string_view what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }
  // A u64 length and that many bytes, at most `max_bytes`; the view points into the bytes.
  std::string_view read_string(std::size_t max_bytes, std::string_view what);

  void need(std::uint64_t n, std::string_view what) const {
    if (n > remaining()) fail_truncated(n, what);
  }
  // Error(model_file) with file name and position.
  [[noreturn]] void fail(const std::string& problem) const;

 private:
  [[noreturn]] void fail_truncated(std::uint64_t n, std::string_view what) const;

  std::span<const std::byte> bytes_;
  std::string file_name_;
  std::size_t position_ = 0;
};

}  // namespace haikuda
