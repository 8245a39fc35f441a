#include "text/jinja/text.h"

#include <algorithm>

namespace haikuda::jinja {

std::size_t Text::run_at(std::size_t offset) const {
  const auto run = std::upper_bound(runs_.begin(), runs_.end(), offset,
                                    [](std::size_t at, const Run& r) { return at < r.end; });
  return static_cast<std::size_t>(run - runs_.begin());
}

bool Text::from_input_at(std::size_t offset) const {
  return runs_[run_at(offset)].from_input;
}

void Text::append(std::string_view bytes, bool from_input) {
  if (bytes.empty()) return;
  bytes_.append(bytes);
  if (!runs_.empty() && runs_.back().from_input == from_input) {
    runs_.back().end = bytes_.size();
  } else {
    runs_.push_back({bytes_.size(), from_input});
  }
}

void Text::append(const Text& other, std::size_t begin, std::size_t end) {
  for (std::size_t r = begin < end ? other.run_at(begin) : 0; begin < end; ++r) {
    const std::size_t stop = std::min(end, other.runs_[r].end);
    append(other.view().substr(begin, stop - begin), other.runs_[r].from_input);
    begin = stop;
  }
}

Text Text::slice(std::size_t begin, std::size_t end) const {
  Text out;
  out.append(*this, begin, end);
  return out;
}

}  // namespace haikuda::jinja
