#include "text/vocabulary.h"

#include <algorithm>
#include <limits>
#include <string>

#include <fmt/format.h>

#include "base/printable.h"

namespace haikuda {
namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kTypesKey = "tokenizer.ggml.token_type";

// Tokens that end a turn by their text, as llama.cpp's special_eog_ids (src/llama-vocab.cpp). The
// last three lines separate files or repositories for fill-in-the-middle.
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "▁<EOT>",
    "[EOT]",
    "[EOS]",
    "<eos>",
    "<end_of_utterance>",
    "<｜end▁of▁sentence｜>",
    "<|fim_pad|>",
    "<fim-pad>",
    "<fim_pad>",
    "<PAD>",
    "[PAD]",
    "<|fim_repo|>",
    "<fim-repo>",
    "<|repo_name|>",
    "<REPO>",
    "<reponame>",
    "<|file_sep|>",
};

// Converters fill the rows of the embedding that have no token with [PAD<id>]. New ones type them
// unused, old ones user_defined or unknown, which would make them match in text.
bool is_padding(std::string_view text, std::size_t id) {
  return text.starts_with("[PAD") && text == fmt::format("[PAD{}]", id);
}

}  // namespace

Vocabulary::Vocabulary(const Metadata& metadata)
    : texts_(metadata.get_strings(kTokensKey)), index_(texts_) {
  constexpr auto kMaxTokens = static_cast<std::size_t>(std::numeric_limits<int>::max() / 4);
  if (texts_.size() == 0) metadata.fail(kTokensKey, "no tokens");
  if (texts_.size() > kMaxTokens)
    metadata.fail(kTokensKey, fmt::format("{} tokens, at most {}", texts_.size(), kMaxTokens));
  read_types(metadata);
  check_texts(metadata);
  read_special_ids(metadata);
  find_end_of_generation(metadata);
}

void Vocabulary::read_types(const Metadata& metadata) {
  types_.assign(texts_.size(), TokenType::normal);
  if (const auto types = metadata.find_ints(kTypesKey)) {
    if (types->size() < texts_.size())
      metadata.fail(kTypesKey, fmt::format("expected {} elements, one per token, got {}",
                                           texts_.size(), types->size()));
    for (std::size_t i = 0; i < types_.size(); ++i) {
      const std::int64_t type = (*types)[i];
      if (type < 0 || type > static_cast<std::int64_t>(TokenType::byte))
        metadata.fail(kTypesKey, fmt::format("element {}: expected 0 to 6, got {}", i, type));
      types_[i] = static_cast<TokenType>(type);
    }
  }
  for (std::size_t i = 0; i < types_.size(); ++i)
    if (texts_[i].empty() || is_padding(texts_[i], i)) types_[i] = TokenType::unused;
}

void Vocabulary::check_texts(const Metadata& metadata) {
  if (const auto& d = index_.duplicate())
    metadata.fail(kTokensKey, fmt::format("token \"{}\" is there twice, as {} and {}",
                                          printable(texts_[d->first]), d->first, d->again));
  for (std::size_t i = 0; i < texts_.size(); ++i)
    max_text_bytes_ = std::max(max_text_bytes_, texts_[i].size());
}

std::optional<int> Vocabulary::find(std::string_view text) const {
  if (text.size() > max_text_bytes_) return std::nullopt;
  const auto i = index_.find(texts_, text);
  return i ? std::optional(static_cast<int>(*i)) : std::nullopt;
}

bool Vocabulary::is_plain(int id) const {
  const TokenType t = type(id);
  return t == TokenType::normal || t == TokenType::user_defined || t == TokenType::undefined;
}

std::optional<int> Vocabulary::find_plain(std::string_view text) const {
  const std::optional<int> id = find(text);
  return id && is_plain(*id) ? id : std::nullopt;
}

void Vocabulary::read_special_ids(const Metadata& metadata) {
  const auto id = [&](std::string_view key) -> std::optional<int> {
    const auto n = metadata.find_int(key, 0, size() - 1);
    return n ? std::optional(static_cast<int>(*n)) : std::nullopt;
  };
  bos_ = id("tokenizer.ggml.bos_token_id");
  eos_ = id("tokenizer.ggml.eos_token_id");
  eot_ = id("tokenizer.ggml.eot_token_id");
  eom_ = id("tokenizer.ggml.eom_token_id");
  unknown_ = id("tokenizer.ggml.unknown_token_id");
  // llama.cpp's defaults for SentencePiece. For BPE it takes token 11, a comma: not copied.
  if (metadata.get_string("tokenizer.ggml.model") == "llama" && size() > 2) {
    unknown_ = unknown_.value_or(0);
    bos_ = bos_.value_or(1);
    eos_ = eos_.value_or(2);
  }
}

// A normal token of such a text was mistyped by its converter, unless merges make it of plain text
// (Qwen2 has a normal "</s>"); none can make "<|...|>", because every pre-tokenizer cuts inside it.
bool Vocabulary::may_end_generation(int id) const {
  switch (type(id)) {
    case TokenType::control:
    case TokenType::user_defined:
    case TokenType::unknown:
      return true;
    case TokenType::normal:
      return text(id).starts_with("<|") && text(id).ends_with("|>");
    default:
      return false;
  }
}

void Vocabulary::find_end_of_generation(const Metadata& metadata) {
  const auto add = [&](std::optional<std::int64_t> id) {
    if (id) end_of_generation_.push_back(static_cast<int>(*id));
  };
  for (const auto& id : {eos_, eot_, eom_}) add(id);
  for (const char* name : {"fim_pad", "fim_rep", "fim_sep"})
    add(metadata.find_int(fmt::format("tokenizer.ggml.{}_token_id", name), 0, size() - 1));
  for (const std::string_view text : kEndTexts) {
    const std::optional<int> id = find(text);
    if (!id || !may_end_generation(*id)) continue;
    types_[static_cast<std::size_t>(*id)] = TokenType::control;
    add(id);
  }
  std::sort(end_of_generation_.begin(), end_of_generation_.end());
  const auto end = std::unique(end_of_generation_.begin(), end_of_generation_.end());
  end_of_generation_.erase(end, end_of_generation_.end());
}

bool Vocabulary::is_end_of_generation(int id) const {
  return std::binary_search(end_of_generation_.begin(), end_of_generation_.end(), id);
}

}  // namespace haikuda
