// Tokens as they are generated to text that is always complete UTF-8.
#pragma once

#include <string>

#include "text/tokenizer.h"
#include "text/utf8_stream.h"

namespace haikuda {

class Detokenizer {
 public:
  // `tokenizer` outlives this. `at_start`: the tokens begin a text or follow a special token, so
  // that SentencePiece's space prefix is dropped; false where they go on with a prompt. `special`:
  // special tokens are text too.
  explicit Detokenizer(const Tokenizer& tokenizer, bool at_start = false, bool special = false)
      : tokenizer_(tokenizer), at_start_(at_start), special_(special) {}

  // The text that `id` completes; empty while a character is incomplete.
  std::string push(int id);
  // The end: U+FFFD for a character that was left incomplete.
  std::string flush();

 private:
  const Tokenizer& tokenizer_;
  Utf8Stream stream_;
  bool at_start_;
  bool special_;
};

}  // namespace haikuda
