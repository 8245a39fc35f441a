// Metadata of the tokenizer.
#include <limits>

#include <fmt/format.h>

#include "support/hostile_cases.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

constexpr ExitCode kBad = ExitCode::model_file;
constexpr const char* kPrefix = "tokenizer.ggml.";

using Cases = std::vector<HostileCase>;

template <class T>
HostileCase with_key(std::string name,
                     const std::string& key,
                     const T& value,
                     std::optional<ExitCode> code,
                     std::string message) {
  GgufWriter w = good_model();
  w.erase(kPrefix + key).set(kPrefix + key, value);
  return model_case(std::move(name), w, code, std::move(message));
}

template <class T>
HostileCase with_array(std::string name,
                       const std::string& key,
                       const std::vector<T>& values,
                       std::optional<ExitCode> code,
                       std::string message) {
  GgufWriter w = good_model();
  w.erase(kPrefix + key).set_array(kPrefix + key, values);
  return model_case(std::move(name), w, code, std::move(message));
}

HostileCase without_key(std::string name, const std::string& key) {
  return model_case(std::move(name), good_model().erase(kPrefix + key), kBad,
                    kPrefix + key + ": missing");
}

// The good model with a SentencePiece vocabulary of the same size: <unk>, <s>, </s>, the bytes,
// pieces.
GgufWriter spm_model(const std::vector<std::pair<std::size_t, std::string>>& changes = {}) {
  const std::size_t n = tiny_tokens().size();
  std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, 3, 3};
  for (int b = 0; b < 256; ++b) {
    tokens.push_back(fmt::format("<0x{:02X}>", b));
    types.push_back(6);
  }
  while (tokens.size() < n) {
    tokens.push_back(fmt::format("piece{}", tokens.size()));
    types.push_back(1);
  }
  for (const auto& [i, text] : changes) tokens[i] = text;
  GgufWriter w = good_model();
  w.erase("tokenizer.ggml.merges").erase("tokenizer.ggml.pre");
  w.erase("tokenizer.ggml.model").set("tokenizer.ggml.model", "llama");
  w.erase("tokenizer.ggml.tokens").set_array("tokenizer.ggml.tokens", tokens);
  w.erase("tokenizer.ggml.token_type").set_array("tokenizer.ggml.token_type", types);
  w.set_array("tokenizer.ggml.scores", std::vector<float>(n, -1));
  return w;
}

void add_tokens(Cases& cases) {
  std::vector<std::string> tokens = tiny_tokens();
  cases.push_back(without_key("56 no tokens", "tokens"));
  cases.push_back(with_array<std::string>("56 zero tokens", "tokens", {}, kBad, "no tokens"));
  cases.push_back(with_array("56 tokens as i32", "tokens",
                             std::vector<std::int32_t>(tokens.size(), 1), kBad,
                             "tokens: expected an array of strings, got array of i32"));
  cases.push_back(with_key("56 tokens as a string", "tokens", "abc", kBad,
                           "tokens: expected an array of strings, got string"));
  std::vector<std::string> fewer(tokens.begin(), tokens.end() - 1);
  GgufWriter shorter = good_model();
  shorter.erase("tokenizer.ggml.tokens").set_array("tokenizer.ggml.tokens", fewer);
  shorter.erase("tokenizer.ggml.eos_token_id");
  cases.push_back(model_case("56 fewer tokens than rows", shorter, kBad,
                             "tokens: expected 329 tokens (rows of token_embd.weight), got 328"));
  std::vector<std::string> twice = tokens;
  twice[300] = "\x1b[1m";
  twice[301] = "\x1b[1m";
  cases.push_back(with_array("60 duplicate token with ESC", "tokens", twice, kBad,
                             "token \"\\x1b[1m\" is there twice, as 300 and 301"));
  std::vector<std::string> large = tokens;
  large[5].assign((std::size_t{64} << 10) + 1, 'x');
  cases.push_back(
      with_array("60 token of 64 KiB and 1", "tokens", large, kBad, "string of 65537 bytes"));
  GgufWriter claimed = good_model();
  claimed.erase("tokenizer.ggml.tokens");
  claimed.set_raw("tokenizer.ggml.tokens", 9,
                  ByteWriter()
                      .put(MetaType::string)
                      .put(std::uint64_t{1})
                      .put(std::uint64_t{64} << 20)
                      .bytes());
  cases.push_back(model_case("60 token that claims 64 MiB", claimed, kBad,
                             "tokenizer.ggml.tokens: string of 67108864 bytes"));
}

void add_types(Cases& cases) {
  const std::size_t n = tiny_tokens().size();
  cases.push_back(with_array("57 token_type as i8", "token_type", std::vector<std::int8_t>(n, 1),
                             std::nullopt, ""));
  cases.push_back(with_array("57 token_type as f32", "token_type", std::vector<float>(n, 1), kBad,
                             "token_type: expected an array of integers, got array of f32"));
  cases.push_back(with_array("57 token_type too short", "token_type",
                             std::vector<std::int32_t>(n - 1, 1), kBad,
                             "token_type: expected 329 elements, one per token, got 328"));
  cases.push_back(with_array("57 token_type 7", "token_type", std::vector<std::int32_t>(n, 7), kBad,
                             "token_type: element 0: expected 0 to 6, got 7"));
  cases.push_back(with_array("57 token_type -1", "token_type", std::vector<std::int32_t>(n, -1),
                             kBad, "element 0: expected 0 to 6, got -1"));
  cases.push_back(with_array("57 token_type 2^64-1", "token_type",
                             std::vector<std::uint64_t>(n, ~std::uint64_t{0}), kBad,
                             "token_type: element 0 is 18446744073709551615, out of range"));
}

void add_merges(Cases& cases) {
  using Texts = std::vector<std::string>;
  const std::string none = "merges: no merge joins two tokens";
  cases.push_back(without_key("58 no merges", "merges"));
  cases.push_back(with_array("58 merges without a space", "merges", Texts{"ab", "cd"}, kBad, none));
  cases.push_back(with_array("58 empty merges", "merges", Texts{"", "", " "}, kBad, none));
  cases.push_back(
      with_array("58 merges of unknown tokens", "merges", Texts{"xyzzy plugh"}, kBad, none));
  cases.push_back(with_array("58 merges as u8", "merges", std::vector<std::uint8_t>{1, 2}, kBad,
                             "merges: expected an array of strings, got array of u8"));
  Texts some = tiny_merges();
  some.insert(some.begin() + 3, {"nospace", "", " ", "xyzzy plugh"});
  cases.push_back(with_array("58 some bad merges", "merges", some, std::nullopt, ""));
}

void add_ids(Cases& cases) {
  const std::uint32_t n = static_cast<std::uint32_t>(tiny_tokens().size());
  cases.push_back(with_key("59 eos = vocabulary", "eos_token_id", n, kBad,
                           "eos_token_id: expected 0 to 328, got 329"));
  cases.push_back(with_key("59 eos -1", "eos_token_id", -1, kBad, "0 to 328, got -1"));
  cases.push_back(with_key("59 eos 2^64-1", "eos_token_id", ~std::uint64_t{0}, kBad,
                           "expected at most 328, got 18446744073709551615"));
  cases.push_back(
      with_key("59 eos as string", "eos_token_id", "2", kBad, "expected an integer, got string"));
  cases.push_back(with_key("59 eot out of range", "eot_token_id", 99999u, kBad, "eot_token_id"));
  cases.push_back(
      with_key("59 fim_pad out of range", "fim_pad_token_id", 99999u, kBad, "fim_pad_token_id"));
  cases.push_back(with_key("59 add_bos as u32", "add_bos_token", 1u, kBad,
                           "add_bos_token: expected a bool, got u32"));
  GgufWriter no_bos = good_model();
  no_bos.erase("tokenizer.ggml.bos_token_id").erase("tokenizer.ggml.add_bos_token");
  no_bos.set("tokenizer.ggml.add_bos_token", true);
  cases.push_back(
      model_case("59 add_bos without bos", no_bos, kBad, "tokenizer.ggml.bos_token_id is missing"));
}

void add_models(Cases& cases) {
  cases.push_back(without_key("56 no tokenizer model", "model"));
  cases.push_back(with_key("56 tokenizer t5", "model", "t5\x1b[m", ExitCode::unsupported,
                           "tokenizer \"t5\\x1b[m\" is not supported"));
  cases.push_back(with_key("56 tokenizer model as i32", "model", 1, kBad, "expected a string"));
  cases.push_back(without_key("56 no pre", "pre"));
  cases.push_back(with_key("56 unknown pre", "pre", "no\nsuch", ExitCode::unsupported,
                           "pre-tokenizer \"no\\x0asuch\" is not supported"));
}

void add_spm(Cases& cases) {
  cases.push_back(model_case("61 SentencePiece that fits", spm_model(), std::nullopt, ""));
  for (const char* bad : {"<0x-1>", "<0xZZ>", "<0x1>", "<0x+1>", "<0x 1>", ""})
    cases.push_back(model_case(
        fmt::format("61 byte token {}", bad), spm_model({{3, bad}}),
        *bad == '\0' ? std::optional<ExitCode>() : kBad,
        *bad == '\0' ? "" : fmt::format("tokens: byte token 3 is \"{}\", expected <0xNN>", bad)));
  const auto scores = [&](std::string name, const auto& values, std::string message) {
    GgufWriter w = spm_model();
    w.erase("tokenizer.ggml.scores").set_array("tokenizer.ggml.scores", values);
    cases.push_back(model_case(std::move(name), w, kBad, std::move(message)));
  };
  const std::size_t n = tiny_tokens().size();
  scores("61 scores as i8", std::vector<std::int8_t>(n, 0),
         "scores: expected an array of floats, got array of i8");
  scores("61 scores too short", std::vector<float>(n - 1, 0), "scores: expected 329 elements");
  scores("61 scores NaN", std::vector<float>(n, std::numeric_limits<float>::quiet_NaN()),
         "scores: element 0 is not a number");
  cases.push_back(model_case("61 no scores", spm_model().erase("tokenizer.ggml.scores"), kBad,
                             "scores: missing"));
}

}  // namespace

std::vector<HostileCase> hostile_tokenizers() {
  Cases cases;
  add_tokens(cases);
  add_types(cases);
  add_merges(cases);
  add_ids(cases);
  add_models(cases);
  add_spm(cases);
  return cases;
}

}  // namespace haikuda::test
