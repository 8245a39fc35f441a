// <think> and the answer after it, however the text is cut.
#include "text/reasoning_splitter.h"

#include <string>

#include "support/catch.h"

namespace haikuda::test {
namespace {

SplitText split(std::string_view text, std::size_t n_bytes, bool is_open = false) {
  ReasoningSplitter splitter(is_open);
  SplitText out;
  const auto add = [&](const SplitText& part) {
    // What comes after the answer has begun is all answer.
    if (!out.answer.empty()) CHECK(part.reasoning.empty());
    out.reasoning += part.reasoning;
    out.answer += part.answer;
  };
  for (; !text.empty(); text.remove_prefix(std::min(n_bytes, text.size())))
    add(splitter.push(text.substr(0, n_bytes)));
  add(splitter.flush());
  return out;
}

struct Case {
  std::string_view text, reasoning, answer;
  bool is_open = false;
};

TEST_CASE("reasoning: parted from the answer, however the text is cut", "[text]") {
  const auto c = GENERATE(
      Case{"<think>a</think>b", "a", "b"},
      Case{"\n <think>\na\n</think>\n\n b \n", "\na\n", "b \n"},
      Case{"a</think>\n\nb</think>c", "a", "b</think>c", true}, Case{"<think>a", "a", ""},
      Case{"<think>a</thi", "a</thi", ""}, Case{"<think>a<</</think>b", "a<</", "b"},
      Case{"<think></think>", "", ""}, Case{"<think>a</think>\n\n", "a", ""},
      Case{"plain <think>a</think>", "", "plain <think>a</think>"}, Case{"  <thin", "", "  <thin"},
      Case{"", "", ""}, Case{" \n", "", " \n"}, Case{"<thinking>a", "", "<thinking>a"},
      Case{"<think><think>a</think>b", "<think>a", "b"}, Case{"", "", "", true});
  for (std::size_t n = 1; n < 20; ++n) {
    CAPTURE(c.text, n);
    const SplitText got = split(c.text, n, c.is_open);
    CHECK(got.reasoning == c.reasoning);
    CHECK(got.answer == c.answer);
  }
}

TEST_CASE("reasoning: opened by the prompt", "[text]") {
  CHECK(opens_reasoning("assistant\n<think>"));
  CHECK(opens_reasoning("assistant\n<think>\n"));
  CHECK_FALSE(opens_reasoning("assistant\n<think>\n\n</think>\n\n"));
  CHECK_FALSE(opens_reasoning("<think> about it"));
  CHECK_FALSE(opens_reasoning(" \n"));
}

}  // namespace
}  // namespace haikuda::test
