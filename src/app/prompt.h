// The prompt: gathered from flags, files and stdin, and turned into tokens.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "app/options.h"
#include "model/model.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace haikuda {

struct Prompt {
  std::string text;
  std::optional<std::string> system;
  bool is_chat = false;  // to be put through the chat template when the model has one
};

// stdin, files and -p or the request, joined by newlines. Throws Error(usage) when there is no
// prompt at all and Error(io) for a file that cannot be read or text that is not UTF-8.
Prompt gather_prompt(const PromptOptions& options);
// Whether there is one for sure, without waiting for stdin.
bool has_prompt(const PromptOptions& options);
// --system or --system-file. Throws Error(io).
std::optional<std::string> system_message(const PromptOptions& options);
// Throws Error(io) naming the byte that is wrong; `what` is what the message calls the text.
void check_utf8(const std::string& text, const char* what);
// A file, or stdin for "-", as it stands. Throws Error(io); `what` is what messages call it.
std::string read_input(const std::string& path, const char* what);

// A prompt as the model sees it.
struct RenderedPrompt {
  std::vector<TextPiece> pieces;  // of a chat; otherwise the text alone
  bool is_chat = false;

  std::string text() const;
};

// Throws Error(unsupported) for a template we cannot run.
RenderedPrompt render_prompt(const Prompt& prompt,
                             const PromptOptions& options,
                             const Metadata& metadata,
                             const Tokenizer& tokenizer);
// A conversation by the chat template that is asked for, or the model's own; nullopt when it has
// none.
std::optional<RenderedPrompt> render_conversation(std::span<const ChatMessage> messages,
                                                  const TemplateOptions& chat_template,
                                                  const Metadata& metadata,
                                                  const Tokenizer& tokenizer);
std::vector<int> tokenize_prompt(const RenderedPrompt& prompt, const Tokenizer& tokenizer);

// The prompt without as many tokens of its text, from the head or the middle, as make it fit.
struct TruncatedPrompt {
  RenderedPrompt rendered;
  std::vector<int> tokens;
};
TruncatedPrompt truncate_prompt(const Prompt& prompt,
                                const PromptOptions& options,
                                const Metadata& metadata,
                                const Tokenizer& tokenizer,
                                int n_tokens);

}  // namespace haikuda
