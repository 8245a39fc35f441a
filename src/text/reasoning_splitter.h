// Parts what a model thinks, between <think> and </think> at the head of its text, from the answer.
#pragma once

#include <string>
#include <string_view>

namespace haikuda {

// Either may be empty; what was thought comes first.
struct SplitText {
  std::string reasoning, answer;
};

// The text comes in pieces, which may end inside a tag. The tags, blanks before the first and after
// the second go; a text that does not begin with <think> is an answer as it stands.
class ReasoningSplitter {
 public:
  // `is_open`: the prompt ended with <think>, so the text begins inside.
  explicit ReasoningSplitter(bool is_open) : state_(is_open ? State::reasoning : State::start) {}

  SplitText push(std::string_view piece);
  // What was held back because it might have been the head of a tag.
  SplitText flush();

 private:
  enum class State { start, reasoning, between, answer };

  bool step(SplitText& out);

  State state_;
  std::string held_;
};

// Whether a rendered prompt ends with <think>, but for blanks.
bool opens_reasoning(std::string_view prompt);

}  // namespace haikuda
