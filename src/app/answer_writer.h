// Where generated text goes: the answer to stdout, what was thought before it where --reasoning
// says.
#pragma once

#include <optional>
#include <string_view>

#include "app/options.h"
#include "app/text_sink.h"
#include "text/reasoning_splitter.h"

namespace haikuda {

class AnswerWriter {
 public:
  // Of one text; `sink` outlives this. `is_open`: the prompt ends with <think>.
  AnswerWriter(TextSink& sink, Reasoning where, bool is_open);

  void write(std::string_view text);
  // After the last; stderr is at the beginning of a line then.
  void finish();

 private:
  void send(const SplitText& text);

  TextSink& sink_;
  Reasoning where_;
  std::optional<ReasoningSplitter> splitter_;  // none: all is one text
  bool in_line_ = false;                       // of what was thought, on stderr
};

}  // namespace haikuda
