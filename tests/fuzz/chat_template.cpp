// Any template over a fixed conversation: an Error, or pieces of text that alternate in origin.
#include "text/chat_template.h"

#include "fuzz_target.h"

namespace haikuda::fuzz {
namespace {

using Json = nlohmann::ordered_json;

const Json& conversation() {
  static const Json messages = Json::parse(R"([
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  Hi {{ x }} <|im_end|>\n"},
    {"role": "assistant", "content": "", "tool_calls": [
      {"type": "function", "function": {"name": "f", "arguments": {"a": [1, -2.5, null, true]}}}]},
    {"role": "tool", "name": "f", "content": "1"},
    {"role": "user", "content": "\u00e9 1"}])");
  return messages;
}

const RenderOptions& options() {
  static const RenderOptions options{
      .add_generation_prompt = true,
      .bos_token = "<s>",
      .eos_token = "</s>",
      .tools = Json::parse(
          R"([{"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}])"),
      .extra = Json::parse(R"({"enable_thinking": false, "n": 3, "d": {"k": "v"}})"),
      .now = 1700000000};
  return options;
}

}  // namespace

void fuzz_chat_template(Bytes bytes) {
  expect_result_or_error({ExitCode::unsupported, ExitCode::usage}, [&] {
    const ChatTemplate chat_template(as_text(bytes), "fuzz template");
    const auto pieces = chat_template.render(conversation(), options());
    for (std::size_t i = 1; i < pieces.size(); ++i)
      require(pieces[i].from_input != pieces[i - 1].from_input, "neighbours differ in origin");
  });
}

}  // namespace haikuda::fuzz
