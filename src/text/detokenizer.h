// Tokens as they are generated to text that is always complete UTF-8.
#pragma once

#include <string>

#include "text/tokenizer.h"
#include "text/utf8_stream.h"

namespace haikuda {

class Detokenizer {
 public:
  // `tokenizer` outlives this. `at_start`: the tokens begin a text or follow a special token, so
  // that SentencePiece's space prefix is dropped; false where they go on with a prompt.
  explicit Detokenizer(const Tokenizer& tokenizer, bool at_start = false)
      : tokenizer_(tokenizer), at_start_(at_start) {}

  // The text that `id` completes, without special tokens; empty while a character is incomplete.
  std::string push(int id);
  // The end: U+FFFD for a character that was left incomplete.
  std::string flush();

 private:
  const Tokenizer& tokenizer_;
  Utf8Stream stream_;
  bool at_start_;
};

}  // namespace haikuda
