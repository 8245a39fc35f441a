#include "infer/generator.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/error.h"
#include "text/detokenizer.h"
#include "text/stop_matcher.h"

namespace haikuda {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tokens to text on its way out: complete UTF-8, ended by a stop string.
class TextOut {
 public:
  // `last`: the prompt's last token. After a special one the answer is a text of its own.
  TextOut(const Tokenizer& tokenizer,
          int last,
          const GenerateOptions& options,
          const GenerateHooks& hooks)
      : detokenizer_(
            tokenizer, tokenizer.vocabulary().type(last) == TokenType::control, options.special),
        matcher_(options.stop),
        keep_stop_(options.keep_stop),
        hooks_(hooks) {}

  std::string push(int token) { return send(through_matcher(detokenizer_.push(token))); }
  void flush() {
    if (matcher_.matched()) return;
    send(through_matcher(detokenizer_.flush()));
    if (!matcher_.matched()) send(matcher_.flush());
  }
  const StopMatcher& matcher() const { return matcher_; }

 private:
  std::string through_matcher(const std::string& piece) {
    std::string text = matcher_.push(piece);
    return matcher_.matched() && keep_stop_ ? text + matcher_.match() : text;
  }
  std::string send(std::string text) {
    if (!text.empty()) hooks_.on_text(text);
    return text;
  }

  Detokenizer detokenizer_;
  StopMatcher matcher_;
  bool keep_stop_;
  const GenerateHooks& hooks_;
};

// What the sampler is asked for; with ignore_eos no end-of-generation token is left to it.
SamplerOptions sampler_options(const GenerateOptions& options, const Vocabulary& vocabulary) {
  SamplerOptions out = options.sampler;
  if (options.ignore_eos)
    for (const int id : vocabulary.end_of_generation())
      out.logit_bias.push_back({id, -std::numeric_limits<double>::infinity()});
  return out;
}

// A backend that samples by itself, for the time of one text.
class AheadRun {
 public:
  AheadRun(Backend& backend,
           const SamplerOptions& options,
           std::span<const int> history,
           int n_most)
      : backend_(backend) {
    backend.start_sampling(options, history, n_most);
  }
  AheadRun(const AheadRun&) = delete;
  AheadRun& operator=(const AheadRun&) = delete;
  ~AheadRun() { backend_.stop_sampling(); }

 private:
  Backend& backend_;
};

}  // namespace

const char* finish_reason_name(FinishReason reason) {
  switch (reason) {
    case FinishReason::eos:
      return "eos";
    case FinishReason::length:
      return "length";
    case FinishReason::context:
      return "context";
    case FinishReason::stop:
      return "stop";
    case FinishReason::interrupted:
      return "interrupted";
  }
  return "unknown";
}

Generator::Generator(Backend& backend, const Tokenizer& tokenizer, std::span<const int> prompt)
    : backend_(backend), tokenizer_(tokenizer), prompt_(prompt), n_reused_(backend.position()) {
  const int n_prompt = static_cast<int>(prompt.size());
  HAIKUDA_CHECK(n_reused_ < n_prompt && n_prompt <= backend.n_ctx());
}

bool Generator::prefill(int part, const std::function<bool()>& should_stop) {
  const auto start = Clock::now();
  for (auto rest = prompt_.subspan(static_cast<std::size_t>(n_reused_)); !rest.empty();) {
    if (should_stop()) return false;
    const auto now = rest.first(std::min(rest.size(), static_cast<std::size_t>(part)));
    backend_.append(now);
    rest = rest.subspan(now.size());
  }
  backend_.argmax();  // waits for the device, so that the two times are told apart; also checks the
                      // logits
  prefill_s_ = seconds_since(start);
  return true;
}

// Those after the prompt are kept, because a backend forgets them when a text goes on.
std::span<const float> Generator::logits() {
  const bool kept = backend_.position() == static_cast<int>(prompt_.size());
  return kept ? std::span<const float>(first_logits_) : backend_.logits();
}

int Generator::next_token(Sampler& sampler, bool is_argmax, std::span<const int> history) {
  const bool kept = backend_.position() == static_cast<int>(prompt_.size());
  if (is_argmax && !kept) return backend_.argmax();
  const auto all = logits();
  check_finite_logits(all, backend_.position());
  return sampler.sample(all, history);
}

// The position is that of the logits it comes from.
void Generator::show_sampled(int token) const {
  Probe* probe = backend_.probe();
  if (probe == nullptr) return;
  const int position = backend_.position() - 1;
  if (!probe->wants(Stage::sampled, -1, position, 1)) return;
  probe->show({.stage = Stage::sampled, .position = position, .n_rows = 1, .ids = {&token, 1}});
}

// Whether generation goes on with the token; otherwise the reason is set.
bool Generator::accept_token(int token,
                             const GenerateOptions& options,
                             GenerateResult& result) const {
  if (!options.ignore_eos && !options.takes_eos &&
      tokenizer_.vocabulary().is_end_of_generation(token)) {
    result.reason = FinishReason::eos;
    return false;
  }
  result.tokens.push_back(token);
  return true;
}

GenerateResult Generator::run(const GenerateOptions& options, const GenerateHooks& hooks) {
  const int n_prompt = static_cast<int>(prompt_.size());
  GenerateResult result;
  result.n_prompt = n_prompt;
  result.n_reused = n_reused_;
  result.prefill_s = prefill_s_;
  if (backend_.position() > n_prompt) backend_.truncate(n_prompt);
  std::vector<int> history(prompt_.begin(), prompt_.end());
  const SamplerOptions sampling = sampler_options(options, tokenizer_.vocabulary());
  Sampler sampler(sampling);
  std::optional<AheadRun> ahead;
  if (!options.n_logprobs && options.n_predict != 0 && backend_.can_sample(sampling))
    ahead.emplace(backend_, sampling, history,
                  options.n_predict < 0 ? std::numeric_limits<int>::max() : options.n_predict);
  else if (first_logits_.empty())
    first_logits_.assign(backend_.logits().begin(), backend_.logits().end());
  TextOut out(tokenizer_, prompt_.back(), options, hooks);

  const auto start = Clock::now();
  while (options.n_predict < 0 || static_cast<int>(result.tokens.size()) < options.n_predict) {
    if (hooks.should_stop()) {
      result.reason = FinishReason::interrupted;
      break;
    }
    const int token =
        ahead ? backend_.next_token() : next_token(sampler, sampling.is_argmax(), history);
    show_sampled(token);
    if (!accept_token(token, options, result)) {
      if (options.special) out.push(token);
      break;
    }
    result.token_s.push_back(seconds_since(start));
    if (options.n_logprobs)
      result.logprobs.push_back(
          {{token, logprob(logits(), token)}, top_logprobs(logits(), *options.n_logprobs)});
    history.push_back(token);
    const std::string text = out.push(token);
    if (hooks.on_token)
      hooks.on_token({static_cast<int>(result.tokens.size()) - 1, token, text,
                      options.n_logprobs ? &result.logprobs.back() : nullptr});
    if (out.matcher().matched()) break;
    if (static_cast<int>(result.tokens.size()) == options.n_predict) break;
    if (static_cast<int>(history.size()) > backend_.n_ctx()) {  // no room for the newest
      result.reason = FinishReason::context;
      break;
    }
    if (!ahead) backend_.append({&token, 1});
    ++result.n_decoded;
  }
  out.flush();
  if (out.matcher().matched()) {
    result.reason = FinishReason::stop;
    result.stop = out.matcher().match();
  }
  result.decode_s = seconds_since(start);
  return result;
}

GenerateResult generate(Backend& backend,
                        const Tokenizer& tokenizer,
                        std::span<const int> prompt,
                        const GenerateOptions& options,
                        const GenerateHooks& hooks) {
  Generator generator(backend, tokenizer, prompt);
  if (generator.prefill(options.prefill_part, hooks.should_stop))
    return generator.run(options, hooks);
  GenerateResult result;
  result.n_prompt = static_cast<int>(prompt.size());
  result.reason = FinishReason::interrupted;
  return result;
}

}  // namespace haikuda
