// A UTF-8 string that knows which of its bytes came from the input (messages, tools) and which from
// the template, so that text typed by a user can never become a special token. Comparisons ignore
// the origin.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace haikuda::jinja {

class Text {
 public:
  struct Run {
    std::size_t end = 0;  // one past its last byte; it begins where the run before it ends
    bool from_input = false;
  };

  Text() = default;
  Text(std::string_view bytes, bool from_input) { append(bytes, from_input); }

  std::string_view view() const { return bytes_; }
  std::size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }  // ascending, neighbours differ in origin
  bool from_input_at(std::size_t offset) const;           // offset < size()

  void append(std::string_view bytes, bool from_input);
  void append(const Text& other) { append(other, 0, other.size()); }
  void append(const Text& other, std::size_t begin, std::size_t end);  // other is not *this
  Text slice(std::size_t begin, std::size_t end) const;

 private:
  std::size_t run_at(std::size_t offset) const;

  std::string bytes_;
  std::vector<Run> runs_;
};

}  // namespace haikuda::jinja
