#include "text/chat_template.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/parser.h"

namespace haikuda {
namespace {

using jinja::Runtime;
using jinja::Text;
using jinja::Value;
using nlohmann::ordered_json;

// What JSON is as a value of the template; its strings are marked as input.
Value to_value(Runtime& runtime, const ordered_json& json, int depth = 0) {
  if (depth > jinja::kMaxNesting) runtime.fail("the messages or tools are nested too deeply");
  switch (json.type()) {
    case ordered_json::value_t::boolean:
      return json.get<bool>();
    case ordered_json::value_t::number_unsigned:
      if (json.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
        runtime.fail("an integer of more than 64 bits in the messages or tools is not supported");
      [[fallthrough]];
    case ordered_json::value_t::number_integer:
      return json.get<std::int64_t>();
    case ordered_json::value_t::number_float:
      return json.get<double>();
    case ordered_json::value_t::string:
      return runtime.text(Text(json.get_ref<const std::string&>(), true));
    case ordered_json::value_t::array: {
      std::vector<Value> items;
      for (const ordered_json& item : json) items.push_back(to_value(runtime, item, depth + 1));
      return runtime.list(std::move(items));
    }
    case ordered_json::value_t::object: {
      jinja::Dict* dict = runtime.dict();
      for (const auto& [key, item] : json.items())
        dict->set(jinja::dict_key(key), runtime.text(Text(key, true)),
                  to_value(runtime, item, depth + 1));
      return dict;
    }
    default:
      return jinja::None{};
  }
}

bool is_plain_role(std::string_view role) {
  return std::all_of(role.begin(), role.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == ' ';
  });
}

Value messages_value(Runtime& runtime, const ordered_json& messages) {
  const Value value = to_value(runtime, messages);
  const auto* list = jinja::as<jinja::List>(value);
  if (list == nullptr)
    throw Error(ExitCode::usage, "the messages of a chat are a JSON array of objects");
  const std::string role = jinja::dict_key("role");
  for (const Value& item : list->items) {
    auto* message = jinja::as<jinja::Dict>(item);
    const Value* old = message == nullptr ? nullptr : message->find(role);
    const Text* text = old == nullptr ? nullptr : jinja::as_text(*old);
    if (text != nullptr && is_plain_role(text->view()))
      message->set(role, {}, runtime.text(text->view()));
  }
  return value;
}

// Without JSON between, whose destructor needs memory.
Value messages_value(Runtime& runtime, std::span<const ChatMessage> messages) {
  std::vector<Value> items;
  for (const ChatMessage& message : messages) {
    jinja::Dict* dict = runtime.dict();
    const auto set = [&](const char* key, const std::string& text, bool from_input) {
      dict->set(jinja::dict_key(std::string_view(key)), runtime.text(Text(key, true)),
                runtime.text(Text(text, from_input)));
    };
    set("role", message.role, !is_plain_role(message.role));
    set("content", message.content, true);
    items.push_back(dict);
  }
  return runtime.list(std::move(items));
}

std::vector<TextPiece> pieces(const Text& text) {
  std::vector<TextPiece> out;
  std::size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    out.push_back({std::string(text.view().substr(begin, run.end - begin)), run.from_input});
    begin = run.end;
  }
  return out;
}

}  // namespace

ChatTemplate::ChatTemplate(std::string_view source, std::string name)
    : name_(std::move(name)), tree_(jinja::parse(source, name_)) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;
ChatTemplate& ChatTemplate::operator=(ChatTemplate&&) noexcept = default;

template <class Messages>
std::vector<TextPiece> ChatTemplate::render_any(const Messages& messages,
                                                const RenderOptions& options) const {
  Runtime runtime(name_, options.now);
  jinja::Scope* scope = runtime.scope(nullptr);
  jinja::define_functions(runtime, *scope);
  auto& names = scope->names;
  names["messages"] = messages_value(runtime, messages);
  names["tools"] = to_value(runtime, options.tools);
  names["documents"] = jinja::None{};
  names["add_generation_prompt"] = options.add_generation_prompt;
  names["bos_token"] = runtime.text(options.bos_token);
  names["eos_token"] = runtime.text(options.eos_token);
  HAIKUDA_CHECK(options.extra.is_null() || options.extra.is_object());
  for (const auto& [name, value] : options.extra.items()) {
    const auto* owned = jinja::as_text(runtime.text(name));
    names[owned->view()] = to_value(runtime, value);
  }
  return pieces(jinja::Interpreter(runtime, scope).render(*tree_));
}

std::vector<TextPiece> ChatTemplate::render(const ordered_json& messages,
                                            const RenderOptions& options) const {
  return render_any(messages, options);
}

std::vector<TextPiece> ChatTemplate::render(std::span<const ChatMessage> messages,
                                            const RenderOptions& options) const {
  return render_any(messages, options);
}

}  // namespace haikuda
