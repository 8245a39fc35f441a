#include "app/sampler_texts.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

// "+1.5", "-2", "-inf"
std::optional<double> parse_bias(std::string_view text) {
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(value))
    return std::nullopt;
  return value;
}

LogitBias parse_logit_bias(const std::string& text) {
  LogitBias bias;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, bias.id);
  const bool has_sign = error == std::errc{} && end != last && (*end == '+' || *end == '-');
  const auto value = has_sign ? parse_bias({end, last}) : std::nullopt;
  if (!value)
    throw Error(
        ExitCode::usage,
        fmt::format(
            "--logit-bias: '{}' is no token id, sign and number, such as 42+1, 42-0.5 or 42-inf",
            printable(text)));
  bias.bias = *value;
  return bias;
}

void add_text_bias(std::vector<LogitBias>& out,
                   const std::string& text,
                   const Tokenizer& tokenizer) {
  const std::size_t equals = text.rfind('=');
  const auto value = equals == std::string::npos || equals == 0
                         ? std::nullopt
                         : parse_bias(std::string_view(text).substr(equals + 1));
  if (!value)
    throw Error(
        ExitCode::usage,
        fmt::format(
            "--logit-bias-str: '{}' is no text, '=' and number, such as Hello=-2 or Hello=-inf",
            printable(text)));
  for (const int id :
       tokenizer.encode(text.substr(0, equals), {.add_special = false, .parse_special = true}))
    out.push_back({id, *value});
}

// Token sequences that begin or hold `text` whatever stands before it: llama.cpp,
// get_overlapping_token_sequences (src/llama-sampler.cpp).
void add_breaker(std::vector<std::vector<int>>& out,
                 const std::string& text,
                 const Tokenizer& tokenizer) {
  for (int id = 0; id < tokenizer.vocabulary().size(); ++id) {
    const std::string word = tokenizer.decode(id, true);
    if (word.find(text) != std::string::npos) {
      out.push_back({id});
      continue;
    }
    for (std::size_t at = word.find(text[0]); at != std::string::npos;
         at = word.find(text[0], at + 1)) {
      const std::size_t n = word.size() - at;
      if (n >= text.size() || word.compare(at, n, text, 0, n) != 0) continue;
      std::vector<int> sequence =
          tokenizer.encode(text.substr(n), {.add_special = false, .parse_special = false});
      sequence.insert(sequence.begin(), id);
      out.push_back(std::move(sequence));
    }
  }
}

}  // namespace

void resolve_sampler_texts(Options& options, const Tokenizer& tokenizer) {
  SamplerOptions& s = options.sampler;
  for (const std::string& text : options.sampler_texts.logit_bias)
    s.logit_bias.push_back(parse_logit_bias(text));
  for (const std::string& text : options.sampler_texts.logit_bias_str)
    add_text_bias(s.logit_bias, text, tokenizer);
  if (s.is_on(SamplerKind::dry))
    for (const std::string& text : options.sampler_texts.dry_breakers) {
      if (text.empty()) throw Error(ExitCode::usage, "--dry-sequence-breaker: the text is empty");
      add_breaker(s.dry_breakers, text, tokenizer);
    }
  validate(s, tokenizer.vocabulary().size());
}

}  // namespace haikuda
