// The tokens of a model: their texts, their types and the ids that have a meaning.
// Not how text is cut into them: that is tokenizer.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "gguf/metadata.h"
#include "text/text_index.h"

namespace haikuda {

// Values are those of tokenizer.ggml.token_type.
enum class TokenType : std::uint8_t {
  undefined = 0,
  normal = 1,
  unknown = 2,
  control = 3,       // never made from text, unless asked for
  user_defined = 4,  // matched in every text before anything else
  unused = 5,
  byte = 6,  // <0xNN>
};

class Vocabulary {
 public:
  // Copies or shares what it needs. Throws Error(model_file) naming the key of what is missing or
  // inconsistent.
  explicit Vocabulary(const Metadata& metadata);

  int size() const { return static_cast<int>(types_.size()); }
  // As written in the file: byte-level BPE and SentencePiece each encode spaces and bytes their
  // way.
  std::string_view text(int id) const { return texts_[static_cast<std::size_t>(id)]; }
  TokenType type(int id) const { return types_[static_cast<std::size_t>(id)]; }
  // Of any type; the empty text is not found.
  std::optional<int> find(std::string_view text) const;
  // Plain text may become this token: not a control, unknown, unused or byte token.
  bool is_plain(int id) const;
  std::optional<int> find_plain(std::string_view text) const;
  std::size_t max_text_bytes() const { return max_text_bytes_; }

  std::optional<int> bos() const { return bos_; }
  std::optional<int> eos() const { return eos_; }
  std::optional<int> eot() const { return eot_; }
  std::optional<int> eom() const { return eom_; }
  std::optional<int> unknown() const { return unknown_; }

  // Generation stops at these: eos, eot, eom, the fill-in-the-middle separators and tokens whose
  // text is known to end a turn. Ascending.
  std::span<const int> end_of_generation() const { return end_of_generation_; }
  bool is_end_of_generation(int id) const;

 private:
  void read_types(const Metadata& metadata);
  void check_texts(const Metadata& metadata);
  void read_special_ids(const Metadata& metadata);
  void find_end_of_generation(const Metadata& metadata);
  bool may_end_generation(int id) const;

  StringArray texts_;
  TextIndex index_;  // text -> id
  std::vector<TokenType> types_;
  std::size_t max_text_bytes_ = 0;
  std::optional<int> bos_, eos_, eot_, eom_, unknown_;
  std::vector<int> end_of_generation_;
};

}  // namespace haikuda
