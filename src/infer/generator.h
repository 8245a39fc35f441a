// The generation loop: prefill, then sample, stop rules, detokenize, decode, until it ends.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "infer/backend.h"
#include "infer/sampler.h"
#include "infer/sampler_logprobs.h"
#include "text/tokenizer.h"

namespace haikuda {

// The model's own distribution over one token, before any sampler.
struct Logprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // the likeliest first
};

struct GenerateOptions {
  int n_predict = -1;  // most tokens to generate; -1: until the model ends or the context is full
  SamplerOptions sampler;
  std::vector<std::string> stop =
      {};  // not empty strings, UTF-8; generation ends before the first that appears
  bool ignore_eos = false;             // end-of-generation tokens are never chosen
  std::optional<int> n_logprobs = {};  // collect them, with that many of the likeliest
  int prefill_part = 512;              // tokens of a prompt between two questions whether to stop
  bool keep_stop = false;              // the stop string is part of the text
  bool special = false;                // so are special tokens, and the one that ends generation
  bool takes_eos = false;  // end-of-generation tokens are tokens like others, and end nothing
};

enum class FinishReason { eos, length, context, stop, interrupted };
const char* finish_reason_name(FinishReason reason);

struct GenerateResult {
  std::vector<int> tokens;  // generated, without the end-of-generation token
  FinishReason reason = FinishReason::length;
  std::string stop;                // the stop string that ended it
  std::vector<Logprobs> logprobs;  // of each token, when asked for
  std::vector<double> token_s;     // when each token was known, in seconds after the prefill
  int n_prompt = 0;
  int n_reused = 0;      // of the prompt's tokens, which the backend already held
  double prefill_s = 0;  // up to the first token's logits
  double decode_s = 0;   // from there to the end
  int n_decoded = 0;     // decode steps within decode_s
};

struct TokenEvent {
  int index = 0;  // of the sample's tokens
  int id = 0;
  std::string_view text;               // what this token has let through, as on_text
  const Logprobs* logprobs = nullptr;  // when asked for
};

// What the loop reports to and asks of its caller; called on the caller's thread. on_token may be
// empty.
struct GenerateHooks {
  std::function<void(std::string_view)> on_text;  // complete UTF-8, in order, without a stop string
  std::function<bool()> should_stop;  // asked between tokens and between parts of a long prompt
  std::function<void(const TokenEvent&)> on_token = {};  // after the on_text of the same token
};

// Several texts for one prompt, which is computed once. Where the backend samples by itself and
// nobody asks for logits, it computes ahead; the text is the same.
class Generator {
 public:
  // All outlive this. The backend holds nothing but the prompt's first tokens, at most all but one.
  // `prompt` is not empty and not longer than the backend's context.
  Generator(Backend& backend, const Tokenizer& tokenizer, std::span<const int> prompt);

  // False when it was told to stop. Computes the prompt; called once, before run.
  bool prefill(int part, const std::function<bool()>& should_stop);
  // One text. Its draws depend on options.sampler.seed alone, not on the texts before it.
  GenerateResult run(const GenerateOptions& options, const GenerateHooks& hooks);

 private:
  std::span<const float> logits();
  int next_token(Sampler& sampler, bool is_argmax, std::span<const int> history);
  void show_sampled(int token) const;
  bool accept_token(int token, const GenerateOptions& options, GenerateResult& result) const;

  Backend& backend_;
  const Tokenizer& tokenizer_;
  std::span<const int> prompt_;
  int n_reused_;
  double prefill_s_ = 0;
  std::vector<float> first_logits_;  // (n_vocab) after the prompt, once they were needed here
};

// Generates once after `prompt`, which is not empty and is not longer than the backend's context.
GenerateResult generate(Backend& backend,
                        const Tokenizer& tokenizer,
                        std::span<const int> prompt,
                        const GenerateOptions& options,
                        const GenerateHooks& hooks);

}  // namespace haikuda
