// A conversation with a model. The KV cache follows it: a turn computes only those tokens that the
// cache does not hold already.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/options.h"
#include "infer/generator.h"
#include "model/model.h"
#include "text/chat_template.h"

namespace haikuda {

class Conversation {
 public:
  // All outlive this; the backend is empty, and there is a chat template. Throws Error(io) for a
  // system message that cannot be read.
  Conversation(const Model& model,
               const Tokenizer& tokenizer,
               Backend& backend,
               const PromptOptions& options);

  // The answer to a message. Both are added to the conversation, unless it was interrupted before
  // the answer began or an error is thrown: Error(prompt_too_long), or that of a template which
  // refuses the messages.
  GenerateResult ask(const std::string& message,
                     const GenerateOptions& options,
                     const GenerateHooks& hooks);

  void set_system(std::optional<std::string> text) { system_ = std::move(text); }
  void reset() { messages_.clear(); }  // but for the system message
  bool undo();                         // the last message and its answer; false when there is none
  int n_answers() const { return static_cast<int>(messages_.size() / 2); }
  std::vector<ChatMessage> messages() const;  // with the system message

 private:
  std::vector<int> tokens_with(const std::string& message) const;
  void keep_common_prefix(const std::vector<int>& tokens);

  const Model& model_;
  const Tokenizer& tokenizer_;
  Backend& backend_;
  TemplateOptions chat_template_;
  std::optional<std::string> system_;
  std::vector<ChatMessage> messages_;  // user and assistant in turn
  std::vector<int> cached_;            // begins with the tokens that the backend holds
};

}  // namespace haikuda
