#include "app/answer_writer.h"

#include <unistd.h>

#include <string>

#include "app/terminal.h"

namespace haikuda {

AnswerWriter::AnswerWriter(TextSink& sink, Reasoning where, bool is_open)
    : sink_(sink), where_(where) {
  if (where != Reasoning::to_stdout) splitter_.emplace(is_open);
}

void AnswerWriter::write(std::string_view text) {
  if (splitter_)
    send(splitter_->push(text));
  else
    sink_.write(text);
}

void AnswerWriter::finish() {
  if (splitter_) send(splitter_->flush());
  if (in_line_) tell("\n");
  in_line_ = false;
}

void AnswerWriter::send(const SplitText& text) {
  if (where_ == Reasoning::to_stderr && !text.reasoning.empty()) {
    tell(::isatty(STDERR_FILENO) == 1 ? for_terminal(text.reasoning) : text.reasoning);
    in_line_ = text.reasoning.back() != '\n';
  }
  if (text.answer.empty()) return;
  if (in_line_) tell("\n");
  in_line_ = false;
  sink_.write(text.answer);
}

}  // namespace haikuda
