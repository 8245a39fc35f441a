#include "text/reasoning_splitter.h"

#include <algorithm>
#include <utility>

namespace haikuda {
namespace {

constexpr std::string_view kOpen = "<think>", kClose = "</think>", kBlanks = " \t\r\n";

// Bytes at the end of a text that a tag may begin with.
std::size_t possible_head(std::string_view text, std::string_view tag) {
  for (std::size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n)
    if (text.ends_with(tag.substr(0, n))) return n;
  return 0;
}

}  // namespace

SplitText ReasoningSplitter::push(std::string_view piece) {
  SplitText out;
  held_ += piece;
  while (step(out)) {
  }
  return out;
}

// True when the state has changed, so that there may be more to do.
bool ReasoningSplitter::step(SplitText& out) {
  const std::size_t begin = std::min(held_.find_first_not_of(kBlanks), held_.size());
  const std::string_view text = std::string_view(held_).substr(begin);
  switch (state_) {
    case State::start:
      if (kOpen.starts_with(text.substr(0, kOpen.size())) && text.size() < kOpen.size())
        return false;
      state_ = text.starts_with(kOpen) ? State::reasoning : State::answer;
      if (state_ == State::reasoning) held_.erase(0, begin + kOpen.size());
      return true;
    case State::reasoning: {
      const std::size_t end = held_.find(kClose);
      const bool is_over = end != std::string::npos;
      const std::size_t n = is_over ? end : held_.size() - possible_head(held_, kClose);
      out.reasoning += held_.substr(0, n);
      held_.erase(0, is_over ? end + kClose.size() : n);
      if (is_over) state_ = State::between;
      return is_over;
    }
    case State::between:
      held_.erase(0, begin);
      if (held_.empty()) return false;
      state_ = State::answer;
      return true;
    case State::answer:
      out.answer += std::exchange(held_, {});
      return false;
  }
  return false;
}

SplitText ReasoningSplitter::flush() {
  SplitText out;
  (state_ == State::reasoning ? out.reasoning : out.answer) = std::exchange(held_, {});
  return out;
}

bool opens_reasoning(std::string_view prompt) {
  const std::size_t last = prompt.find_last_not_of(kBlanks);
  return last != std::string_view::npos && prompt.substr(0, last + 1).ends_with(kOpen);
}

}  // namespace haikuda
