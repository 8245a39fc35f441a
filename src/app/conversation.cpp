#include "app/conversation.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/prompt.h"
#include "base/error.h"

namespace haikuda {

Conversation::Conversation(const Model& model,
                           const Tokenizer& tokenizer,
                           Backend& backend,
                           const PromptOptions& options)
    : model_(model),
      tokenizer_(tokenizer),
      backend_(backend),
      chat_template_(options.chat_template),
      system_(system_message(options)) {}

std::vector<ChatMessage> Conversation::messages() const {
  std::vector<ChatMessage> all;
  if (system_) all.push_back({"system", *system_});
  all.insert(all.end(), messages_.begin(), messages_.end());
  return all;
}

bool Conversation::undo() {
  if (messages_.empty()) return false;
  messages_.resize(messages_.size() - 2);
  return true;
}

std::vector<int> Conversation::tokens_with(const std::string& message) const {
  std::vector<ChatMessage> all = messages();
  all.push_back({"user", message});
  const Metadata& metadata = model_.files.metadata;
  const auto rendered = render_conversation(all, chat_template_, metadata, tokenizer_);
  HAIKUDA_CHECK(rendered);
  std::vector<int> tokens = tokenize_prompt(*rendered, tokenizer_);
  const int n = static_cast<int>(tokens.size());
  if (n > backend_.n_ctx())
    throw Error(ExitCode::prompt_too_long,
                fmt::format("the conversation would have {} tokens, the context holds {}; /undo or "
                            "/reset makes room, -c sets its size",
                            n, backend_.n_ctx()));
  return tokens;
}

// At least the last token is computed again, for the logits after it.
void Conversation::keep_common_prefix(const std::vector<int>& tokens) {
  cached_.resize(std::min(cached_.size(), static_cast<std::size_t>(backend_.position())));
  const auto [end, other] =
      std::mismatch(cached_.begin(), cached_.end(), tokens.begin(), tokens.end() - 1);
  backend_.truncate(static_cast<int>(end - cached_.begin()));
}

GenerateResult Conversation::ask(const std::string& message,
                                 const GenerateOptions& options,
                                 const GenerateHooks& hooks) {
  const std::vector<int> tokens = tokens_with(message);
  keep_common_prefix(tokens);
  cached_ = tokens;
  Generator generator(backend_, tokenizer_, tokens);
  if (!generator.prefill(options.prefill_part, hooks.should_stop)) {
    GenerateResult nothing;
    nothing.n_prompt = static_cast<int>(tokens.size());
    nothing.reason = FinishReason::interrupted;
    return nothing;
  }
  std::string answer;
  GenerateHooks recording = hooks;
  recording.on_text = [&](std::string_view text) {
    answer += text;
    hooks.on_text(text);
  };
  GenerateResult result = generator.run(options, recording);
  cached_.insert(cached_.end(), result.tokens.begin(), result.tokens.end());
  if (result.reason == FinishReason::interrupted && result.tokens.empty()) return result;
  messages_.push_back({"user", message});
  messages_.push_back({"assistant", std::move(answer)});
  return result;
}

}  // namespace haikuda
