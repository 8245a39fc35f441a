// The functions that libFuzzer (libfuzzer_main.cpp) and the replay (replay.cpp) feed with bytes,
// and what they share. A finding is a crash, a sanitizer's report or an exception that leaves the
// function.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda::fuzz {

using Bytes = std::span<const std::byte>;

void fuzz_gguf_parse(Bytes bytes);
void fuzz_model_load(Bytes bytes);
void fuzz_dequantize(Bytes bytes);
void fuzz_tokenizer(Bytes bytes);
void fuzz_tokenizer_metadata(Bytes bytes);
void fuzz_detokenizer(Bytes bytes);
void fuzz_chat_template(Bytes bytes);
void fuzz_sampler(Bytes bytes);
void fuzz_options(Bytes bytes);

// A promise that was not kept. Not an Error, so that nothing takes it for one.
struct Finding : std::logic_error {
  using std::logic_error::logic_error;
};

// A view: most promises are kept, and a string of each would take longer than what it is about.
inline void require(bool condition, std::string_view promise) {
  if (!condition) throw Finding(std::string(promise));
}

// Runs `f`. An Error of one of `codes` whose message is one printable line is as good an end as a
// result.
template <class F>
void expect_result_or_error(std::initializer_list<ExitCode> codes, F&& f) {
  try {
    f();
  } catch (const Error& e) {
    const std::string message = e.what();
    require(std::find(codes.begin(), codes.end(), e.code()) != codes.end(),
            "exit code " + std::to_string(static_cast<int>(e.code())) + " for: " + message);
    require(!message.empty(), "an error without a message");
    require(printable(message, std::numeric_limits<std::size_t>::max()) == message,
            "a raw byte in: " + message);
  }
}

inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Values taken from the front; zeros when there is nothing left.
class Input {
 public:
  explicit Input(Bytes bytes) : rest_(bytes) {}

  template <class T>
  requires std::is_arithmetic_v<T> T take() {
    T value{};
    const std::size_t n = std::min(sizeof value, rest_.size());
    if (n > 0) std::memcpy(&value, rest_.data(), n);
    rest_ = rest_.subspan(n);
    return value;
  }
  // 0 <= result < n, n at most 256.
  int below(int n) { return take<unsigned char>() % n; }
  Bytes rest() const { return rest_; }

 private:
  Bytes rest_;
};

}  // namespace haikuda::fuzz
