// Bytes that arrive in pieces to text that is always complete UTF-8.
#pragma once

#include <string>
#include <string_view>

namespace haikuda {

class Utf8Stream {
 public:
  // The text that `bytes` completes. Holds back at most 3 bytes, which may still become a
  // character. What can be none becomes U+FFFD, one for each maximal part of a character
  // (Unicode 3.9, as in Python and browsers).
  std::string push(std::string_view bytes);
  // The end: U+FFFD where bytes are held back. The stream may be used again.
  std::string flush();

 private:
  std::string held_;
};

}  // namespace haikuda
