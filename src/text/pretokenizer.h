// Cuts text into the words that byte-level BPE merges within, with the regular expressions the
// model was trained with. Not SentencePiece, which needs none.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "gguf/metadata.h"

namespace haikuda {

// One value of tokenizer.ggml.pre.
struct PretokenizerSpec {
  std::string_view name;
  // Applied one after the other: each cuts the pieces of the one before into its matches and the
  // gaps between them, and sees nothing beyond its piece. Syntax of tokenizer.json.
  std::span<const std::string_view> expressions;
  bool ignore_merges = false;  // a word that is a token is taken whole
  bool add_bos = false;        // default of tokenizer.ggml.add_bos_token
};

// Throws Error(model_file) when tokenizer.ggml.pre is missing, Error(unsupported) when it is
// unknown.
const PretokenizerSpec& pretokenizer_spec(const Metadata& metadata);

class Pretokenizer {
 public:
  // `jit` false keeps the interpreter, which is also what a platform without JIT gets.
  explicit Pretokenizer(const PretokenizerSpec& spec, bool jit = true);
  ~Pretokenizer();

  // Appends the words of `text`, valid UTF-8, in order and without gaps.
  void split(std::string_view text, std::vector<std::string_view>& words) const;

 private:
  struct Expression;
  std::vector<Expression> expressions_;
};

}  // namespace haikuda
