// Turns a conversation into the text a model was trained on, with the Jinja template that its file
// carries. The interpreter behind it is closed: no I/O, no access to anything but the variables
// below, bounded time and memory (jinja/limits.h). Renders as Hugging Face's apply_chat_template
// does.
#pragma once

#include <ctime>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "text/text_piece.h"

namespace haikuda {

namespace jinja {
struct Tree;
}

struct ChatMessage {
  std::string role, content;
};

struct RenderOptions {
  bool add_generation_prompt = true;
  std::string bos_token, eos_token;
  nlohmann::ordered_json tools = nullptr;
  nlohmann::ordered_json extra = nullptr;  // an object: more variables, such as enable_thinking
  std::time_t now = std::time(nullptr);    // what strftime_now sees
};

class ChatTemplate {
 public:
  // `name` is what errors call it. Error(unsupported) naming line and construct when it cannot be
  // parsed.
  ChatTemplate(std::string_view source, std::string name);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;
  ChatTemplate& operator=(ChatTemplate&&) noexcept;

  // `messages` as in Hugging Face: [{"role": …, "content": …}, …]. Strings in it, in tools and in
  // extra are input; a role made of letters, digits, '_', '-' and blanks counts as the template's,
  // because templates build special tokens from it. Neighbours in the result differ in origin;
  // together they are the rendered text. Error(unsupported) for what is not supported, a broken
  // limit or an operation Python refuses; Error(usage) when the template refuses the messages
  // (raise_exception).
  std::vector<TextPiece> render(const nlohmann::ordered_json& messages,
                                const RenderOptions& options) const;
  std::vector<TextPiece> render(std::span<const ChatMessage> messages,
                                const RenderOptions& options) const;

 private:
  template <class Messages>
  std::vector<TextPiece> render_any(const Messages& messages, const RenderOptions& options) const;

  std::string name_;
  std::unique_ptr<const jinja::Tree> tree_;
};

}  // namespace haikuda
