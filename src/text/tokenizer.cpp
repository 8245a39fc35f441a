#include "text/tokenizer.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/spm.h"
#include "text/tokenizer_matcher.h"
#include "text/tokenizer_model.h"

namespace haikuda {
namespace {

constexpr std::string_view kModelKey = "tokenizer.ggml.model";
constexpr std::string_view kAddBosKey = "tokenizer.ggml.add_bos_token";
constexpr std::string_view kAddEosKey = "tokenizer.ggml.add_eos_token";

std::unique_ptr<TokenMatcher> make_matcher(const Vocabulary& vocabulary, bool with_control) {
  std::vector<int> ids;
  for (int id = 0; id < vocabulary.size(); ++id) {
    const TokenType type = vocabulary.type(id);
    const bool control = type == TokenType::control || type == TokenType::unknown;
    if (type == TokenType::user_defined || (with_control && control)) ids.push_back(id);
  }
  return std::make_unique<TokenMatcher>(vocabulary, ids);
}

bool is_written(TokenType type) {
  return type == TokenType::normal || type == TokenType::byte || type == TokenType::undefined;
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::create(const Metadata& metadata) {
  const std::string& model = metadata.get_string(kModelKey);
  if (model != "gpt2" && model != "llama")
    throw Error(ExitCode::unsupported,
                fmt::format("{}: key {}: tokenizer \"{}\" is not supported (gpt2 and llama are)",
                            printable(metadata.file_name()), kModelKey, printable(model)));
  return std::unique_ptr<Tokenizer>(new Tokenizer(metadata));
}

Tokenizer::Tokenizer(const Metadata& metadata) : vocabulary_(metadata) {
  if (metadata.get_string(kModelKey) == "llama") {
    model_ = make_spm_model(vocabulary_, metadata);
    add_space_prefix_ = metadata.find_bool("tokenizer.ggml.add_space_prefix").value_or(true);
    add_bos_ = true;
  } else {
    const PretokenizerSpec& spec = pretokenizer_spec(metadata);
    model_ = make_bpe_model(vocabulary_, metadata, spec);
    add_bos_ = spec.add_bos;
  }
  add_bos_ = metadata.find_bool(kAddBosKey).value_or(add_bos_);
  add_eos_ = metadata.find_bool(kAddEosKey).value_or(false);
  if (add_bos_ && !vocabulary_.bos())
    metadata.fail(kAddBosKey, "true, but tokenizer.ggml.bos_token_id is missing");
  if (add_eos_ && !vocabulary_.eos())
    metadata.fail(kAddEosKey, "true, but tokenizer.ggml.eos_token_id is missing");
  user_defined_ = make_matcher(vocabulary_, false);
  special_ = make_matcher(vocabulary_, true);
}

Tokenizer::~Tokenizer() = default;

std::vector<int> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  if (text.size() > kMaxTextBytes)
    throw Error(
        ExitCode::prompt_too_long,
        fmt::format("text of {} bytes: at most {} can be tokenized", text.size(), kMaxTextBytes));
  std::vector<int> ids;
  const TokenMatcher& matcher = options.parse_special ? *special_ : *user_defined_;
  bool at_start = true;
  for (std::size_t at = 0; at < text.size();) {
    const auto match = matcher.find(text, at);
    const std::size_t end = match ? match->begin : text.size();
    if (end > at) encode_text(text.substr(at, end - at), at_start, ids);
    if (match) ids.push_back(match->id);
    at_start = match.has_value();
    at = match ? match->end : end;
  }
  if (!options.add_special) return ids;
  const bool has_bos = options.parse_special && !ids.empty() && ids.front() == vocabulary_.bos();
  const bool has_eos = options.parse_special && !ids.empty() && ids.back() == vocabulary_.eos();
  if (add_bos_ && !has_bos) ids.insert(ids.begin(), *vocabulary_.bos());
  if (add_eos_ && !has_eos) ids.push_back(*vocabulary_.eos());
  return ids;
}

void Tokenizer::encode_text(std::string_view text, bool at_start, std::vector<int>& out) const {
  if (at_start && add_space_prefix_)
    model_->encode(std::string(" ").append(text), out);
  else
    model_->encode(text, out);
}

std::string Tokenizer::decode(int id, bool special) const {
  HAIKUDA_CHECK(id >= 0 && id < vocabulary_.size());
  const TokenType type = vocabulary_.type(id);
  if (is_written(type)) return model_->decode(id);
  return special || type == TokenType::user_defined ? std::string(vocabulary_.text(id))
                                                    : std::string();
}

std::string Tokenizer::decode_next(int id, bool& at_start, bool special) const {
  std::string text = decode(id, special);
  const bool prefixed = vocabulary_.type(id) == TokenType::normal && text.starts_with(' ');
  if (at_start && add_space_prefix_ && prefixed) text.erase(0, 1);
  at_start = !is_written(vocabulary_.type(id));
  return text;
}

std::string Tokenizer::decode(std::span<const int> ids, bool special) const {
  std::string text;
  bool at_start = true;
  for (const int id : ids) text += decode_next(id, at_start, special);
  return text;
}

}  // namespace haikuda
