#include "text/pretokenizer.h"

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <string>

#include <fmt/format.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr std::string_view kPreKey = "tokenizer.ggml.pre";

// GPT-2's encoder.py; what Hugging Face's ByteLevel uses.
constexpr std::string_view kGpt2 =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// tokenizer.json of Qwen2, Qwen2.5 and Qwen3.
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
// tokenizer.json of Llama 3.
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)"
    R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr std::array kGpt2Steps = {kGpt2};
constexpr std::array kQwen2Steps = {kQwen2};
constexpr std::array kLlama3Steps = {kLlama3};
// tokenizer.json of SmolLM: Digits(individual) before ByteLevel.
constexpr std::array kSmollmSteps = {std::string_view(R"(\p{N})"), kGpt2};
// What llama.cpp runs for "default": the steps of Falcon, less its backtick.
constexpr std::array kDefaultSteps = {std::string_view(R"([\p{P}$+<=>^~|]+)"), kGpt2,
                                      std::string_view(R"(\p{N}+)"),
                                      std::string_view("[0-9][0-9][0-9]")};

constexpr PretokenizerSpec kSpecs[] = {
    {"qwen2", kQwen2Steps},
    {"deepseek-r1-qwen", kQwen2Steps},
    {"llama-bpe", kLlama3Steps, true, true},
    {"llama3", kLlama3Steps, true, true},
    {"llama-v3", kLlama3Steps, true, true},
    {"smollm", kSmollmSteps},
    {"gpt-2", kGpt2Steps},
    {"default", kDefaultSteps},
};

std::string supported_names() {
  std::string names;
  for (const PretokenizerSpec& spec : kSpecs)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", spec.name);
  return names;
}

// PCRE2's \s has U+180E, which stopped being a space in Unicode 6.3; the engines that the models
// were trained with go by the property White_Space, which this writes out.
std::string to_pcre2(std::string_view expression) {
  constexpr std::string_view kWhiteSpace = R"(\t-\r\x{85}\p{Z})";
  std::string out;
  bool in_class = false;
  for (std::size_t i = 0; i < expression.size(); ++i) {
    if (expression[i] != '\\') {
      in_class = expression[i] == '[' || (in_class && expression[i] != ']');
      out += expression[i];
      continue;
    }
    const std::string_view escape = expression.substr(i++, 2);
    if (escape == R"(\s)")
      out += in_class ? std::string(kWhiteSpace) : fmt::format("[{}]", kWhiteSpace);
    else if (escape == R"(\S)")
      out += fmt::format("[^{}]", kWhiteSpace);
    else
      out += escape;
    HAIKUDA_CHECK(!in_class || escape != R"(\S)");
  }
  return out;
}

std::string pcre2_message(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

struct FreeCode {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
struct FreeContext {
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};

// What one call of split needs beside the compiled expressions.
struct MatchState {
  std::unique_ptr<pcre2_match_data, FreeMatchData> match;
  std::unique_ptr<pcre2_match_context, FreeContext> context;

  // The expressions take linear time: a few steps a byte, hardly any nesting. The limits only keep
  // a mistake in one of them from taking all time or memory.
  explicit MatchState(std::size_t text_bytes)
      : match(pcre2_match_data_create(1, nullptr)), context(pcre2_match_context_create(nullptr)) {
    constexpr std::size_t kMinSteps = 10'000'000;
    constexpr std::size_t kMaxSteps = std::numeric_limits<std::uint32_t>::max();
    constexpr std::size_t kStepsPerByte = 16;
    constexpr std::uint32_t kHeapKib = 64 * 1024;
    constexpr std::uint32_t kDepth = 10'000;
    if (match == nullptr || context == nullptr) throw std::bad_alloc();
    const std::size_t steps = std::min(text_bytes, kMaxSteps / kStepsPerByte) * kStepsPerByte;
    pcre2_set_match_limit(context.get(), static_cast<std::uint32_t>(std::max(steps, kMinSteps)));
    pcre2_set_heap_limit(context.get(), kHeapKib);
    pcre2_set_depth_limit(context.get(), kDepth);
  }
};

}  // namespace

const PretokenizerSpec& pretokenizer_spec(const Metadata& metadata) {
  const std::string* name = metadata.find_string(kPreKey);
  if (name == nullptr)
    metadata.fail(kPreKey,
                  "missing, and how to cut words cannot be guessed; the file is from before "
                  "May 2024, so convert the model again");
  for (const PretokenizerSpec& spec : kSpecs)
    if (spec.name == *name) return spec;
  throw Error(
      ExitCode::unsupported,
      fmt::format("{}: key {}: pre-tokenizer \"{}\" is not supported ({} are)",
                  printable(metadata.file_name()), kPreKey, printable(*name), supported_names()));
}

struct Pretokenizer::Expression {
  std::unique_ptr<pcre2_code, FreeCode> code;

  Expression(std::string_view expression, bool jit) {
    const std::string pattern = to_pcre2(expression);
    int error = 0;
    PCRE2_SIZE offset = 0;
    code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                             PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr));
    if (code == nullptr && error == PCRE2_ERROR_HEAP_FAILED) throw std::bad_alloc();
    if (code == nullptr)
      throw Error(ExitCode::internal, fmt::format("pre-tokenizer expression {}: {} at {}", pattern,
                                                  pcre2_message(error), offset));
    // Where this fails (no JIT on the platform, or no executable memory) pcre2_match interprets.
    if (jit) pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  }

  // Appends the matches in `piece` and the gaps between them.
  void split(std::string_view piece,
             const MatchState& state,
             std::vector<std::string_view>& words) const {
    const auto* subject = reinterpret_cast<PCRE2_SPTR>(piece.data());
    const PCRE2_SIZE* range = pcre2_get_ovector_pointer(state.match.get());
    std::size_t done = 0;
    while (done < piece.size()) {
      const int found = pcre2_match(code.get(), subject, piece.size(), done, PCRE2_NO_UTF_CHECK,
                                    state.match.get(), state.context.get());
      if (found == PCRE2_ERROR_NOMATCH) break;
      if (found == PCRE2_ERROR_NOMEMORY) throw std::bad_alloc();
      if (found < 0)
        throw Error(ExitCode::internal, fmt::format("pre-tokenizer: {} at byte {} of {}",
                                                    pcre2_message(found), done, piece.size()));
      HAIKUDA_CHECK(range[0] >= done && range[1] > range[0] && range[1] <= piece.size());
      if (range[0] > done) words.push_back(piece.substr(done, range[0] - done));
      words.push_back(piece.substr(range[0], range[1] - range[0]));
      done = range[1];
    }
    if (done < piece.size()) words.push_back(piece.substr(done));
  }
};

Pretokenizer::Pretokenizer(const PretokenizerSpec& spec, bool jit) {
  for (const std::string_view expression : spec.expressions)
    expressions_.emplace_back(expression, jit);
}

Pretokenizer::~Pretokenizer() = default;

void Pretokenizer::split(std::string_view text, std::vector<std::string_view>& words) const {
  const MatchState state(text.size());
  std::vector<std::string_view> pieces = {text}, next;
  for (const Expression& expression : expressions_) {
    next.clear();
    for (const std::string_view piece : pieces) expression.split(piece, state, next);
    pieces.swap(next);
  }
  words.insert(words.end(), pieces.begin(), pieces.end());
}

}  // namespace haikuda
