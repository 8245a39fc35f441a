// Text to token ids and back, as tokenizer.ggml.* of a GGUF file says.
// Not the chat template, and not streaming: see detokenizer.h.
//
// Hugging Face's tokenizers give the same ids, with these known differences: Qwen2's NFC
// normalisation is not done (llama.cpp does not either), so decomposed accents give other tokens;
// rstrip and lstrip of added tokens are not in GGUF; SentencePiece gets a space prefix after each
// special token, as in llama.cpp; letters and digits newer than PCRE2's Unicode (14 in 10.42) are
// cut as if they were symbols.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/metadata.h"
#include "text/text_piece.h"
#include "text/vocabulary.h"

namespace haikuda {

class TokenizerModel;
class TokenMatcher;

struct EncodeOptions {
  bool add_special = true;     // BOS and EOS where the file asks for them
  bool parse_special = false;  // control tokens written in the text become tokens
};

class Tokenizer {
 public:
  static constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;  // three times it fits 32 bits

  // Throws Error(unsupported) for a tokenizer.ggml.model or .pre that is not supported,
  // Error(model_file) for arrays that are missing or wrong, naming the key.
  static std::unique_ptr<Tokenizer> create(const Metadata& metadata);
  ~Tokenizer();
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  // Any bytes: those that are not UTF-8 become tokens of single bytes. O(n log n), no recursion. A
  // BOS that the text begins with, and parse_special has found, is not added again; likewise EOS at
  // the end. Throws Error(prompt_too_long) above kMaxTextBytes.
  std::vector<int> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // A rendered conversation, cut into tokens as one text, in which control tokens are found only
  // inside the template's own pieces. BOS and EOS are the template's business.
  std::vector<int> encode_pieces(std::span<const TextPiece> pieces) const;

  // The bytes of one token inside a text; they need not be complete UTF-8. Control, unknown and
  // unused tokens are empty unless `special`.
  std::string decode(int id, bool special = false) const;
  // A whole text: without the space that SentencePiece puts before a text and after special tokens.
  std::string decode(std::span<const int> ids, bool special = false) const;
  // One token of such a text. `at_start`: the space prefix is dropped here; set for the token
  // after.
  std::string decode_next(int id, bool& at_start, bool special = false) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  explicit Tokenizer(const Metadata& metadata);
  void encode_text(std::string_view text, bool at_start, std::vector<int>& out) const;

  Vocabulary vocabulary_;
  std::unique_ptr<TokenizerModel> model_;
  std::unique_ptr<TokenMatcher> user_defined_;  // tokens that every text is searched for
  std::unique_ptr<TokenMatcher> special_;       // the same and control tokens
  bool add_space_prefix_ = false;               // SentencePiece
  bool add_bos_ = false;
  bool add_eos_ = false;
};

}  // namespace haikuda
