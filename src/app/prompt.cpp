#include "app/prompt.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <memory>
#include <new>

#include <fmt/format.h>

#include "app/json_text.h"
#include "base/error.h"
#include "base/printable.h"
#include "base/utf8.h"
#include "text/utf8_stream.h"

namespace haikuda {
namespace {

constexpr std::size_t kMaxPromptBytes = std::size_t{64} << 20;

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

std::string without_last_newline(std::string text) {
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  return text;
}

// Whatever stdin holds.
bool has_own_text(const PromptOptions& options) {
  return options.prompt || !options.request.empty() || !options.files.empty() ||
         !options.exact_files.empty();
}

// With a prompt given, stdin is joined when something was put there on purpose: a pipe or a file.
bool stdin_is_wanted(const PromptOptions& options, bool has_other) {
  if (options.no_stdin) return false;
  for (const auto* files : {&options.files, &options.exact_files})
    for (const std::string& file : *files)
      if (file == "-") return false;  // read in its turn
  if (options.prompt == "-" || options.request == "-") return false;
  struct stat status {};
  if (::fstat(STDIN_FILENO, &status) != 0) return false;
  const bool deliberate = S_ISFIFO(status.st_mode) || S_ISREG(status.st_mode);
  return has_other ? deliberate : ::isatty(STDIN_FILENO) == 0;
}

// \n \t \r \0 \\ \" \' \xHH and \u{N} or \uXXXX; anything else stays as it is.
std::string unescaped(std::string_view text) {
  std::string out;
  const auto hex = [&](std::size_t at, std::size_t n) -> std::optional<std::uint32_t> {
    std::uint32_t value = 0;
    if (n == 0 || at + n > text.size()) return std::nullopt;
    const char* last = text.data() + at + n;
    const auto [end, error] = std::from_chars(text.data() + at, last, value, 16);
    return error == std::errc{} && end == last ? std::optional(value) : std::nullopt;
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    constexpr std::string_view letters = "ntr0\\\"'", meanings("\n\t\r\0\\\"'", 7);
    const char letter = text[++i];
    if (const std::size_t at = letters.find(letter); at != std::string_view::npos) {
      out += meanings[at];
    } else if (const auto byte = hex(i + 1, 2); letter == 'x' && byte) {
      out += static_cast<char>(*byte);
      i += 2;
    } else if (const auto point = hex(i + 1, 4); letter == 'u' && point) {
      append_utf8(out, *point);
      i += 4;
    } else {
      out += {'\\', letter};
    }
  }
  return out;
}

}  // namespace

void check_utf8(const std::string& text, const char* what) {
  const auto at = find_invalid_utf8(text);
  if (!at) return;
  throw Error(
      ExitCode::io,
      fmt::format("{} is not valid UTF-8 at byte {} (0x{:02x}); convert it, for example with "
                  "iconv -f latin1 -t utf-8, or give --lossy-utf8",
                  what, *at, static_cast<unsigned char>(text[*at])));
}

namespace {

std::string separator(const PromptOptions& options) {
  return options.escapes ? unescaped(options.stdin_separator) : options.stdin_separator;
}

}  // namespace

std::string read_input(const std::string& path, const char* what) {
  const std::unique_ptr<std::FILE, CloseFile> file(path == "-" ? stdin
                                                               : std::fopen(path.c_str(), "rbe"));
  const auto fail = [&](const std::string& why) {
    throw Error(ExitCode::io,
                fmt::format("cannot read {} {}: {}", what,
                            path == "-" ? "from stdin" : "file '" + printable(path) + "'", why));
  };
  const auto fail_by_errno = [&] {
    if (errno == ENOMEM) throw std::bad_alloc();
    fail(std::strerror(errno));
  };
  if (!file) fail_by_errno();
  std::string text;
  char buffer[1 << 16];
  while (const std::size_t n = std::fread(buffer, 1, sizeof buffer, file.get())) {
    text.append(buffer, n);
    if (text.size() > kMaxPromptBytes)
      fail(fmt::format("longer than {} MiB", kMaxPromptBytes >> 20));
  }
  if (std::ferror(file.get()) != 0) fail_by_errno();
  return text;
}

std::optional<std::string> system_message(const PromptOptions& options) {
  constexpr const char* kWhat = "the system message";
  std::optional<std::string> text = options.system;
  if (!options.system_file.empty())
    text = without_last_newline(read_input(options.system_file, kWhat));
  if (text) check_utf8(*text, kWhat);
  return text;
}

bool has_prompt(const PromptOptions& options) {
  return has_own_text(options) || stdin_is_wanted(options, true);
}

Prompt gather_prompt(const PromptOptions& options) {
  std::optional<std::string> from_stdin;
  std::vector<std::string> parts;
  const bool has_other = has_own_text(options);
  if (stdin_is_wanted(options, has_other)) {
    std::string text = read_input("-", "the prompt");
    if (has_other) text = without_last_newline(std::move(text));
    if (!text.empty() || !has_other) from_stdin = std::move(text);
  }
  for (const std::string& file : options.files)
    parts.push_back(without_last_newline(read_input(file, "the prompt")));
  for (const std::string& file : options.exact_files)
    parts.push_back(read_input(file, "the prompt"));
  if (options.prompt)
    parts.push_back(*options.prompt == "-" ? read_input("-", "the prompt")
                    : options.escapes      ? unescaped(*options.prompt)
                                           : *options.prompt);
  if (!options.request.empty())
    parts.push_back(options.request == "-" ? read_input("-", "the prompt") : options.request);
  if (parts.empty() && !from_stdin)
    throw Error(ExitCode::usage,
                "no prompt; give a request, -p TEXT, -f FILE or text on stdin; see --help");

  Prompt prompt;
  for (const std::string& part : parts) prompt.text += (&part == parts.data() ? "" : "\n") + part;
  if (from_stdin)
    prompt.text = parts.empty() ? *from_stdin : *from_stdin + separator(options) + prompt.text;
  if (options.lossy_utf8) {
    Utf8Stream stream;
    const std::string text = stream.push(prompt.text);
    prompt.text = text + stream.flush();
  }
  check_utf8(prompt.text, "the prompt");
  prompt.system = system_message(options);
  prompt.is_chat = options.style == PromptStyle::chat ||
                   (options.style == PromptStyle::by_kind && !options.request.empty());
  return prompt;
}

namespace {

// The simplest template that several families of models were trained on.
constexpr std::string_view kChatml =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content "
    "}}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

struct TemplateSource {
  std::string text, name;
};

// The template asked for, or the model's own; nullopt when it has none.
std::optional<TemplateSource> find_template(const std::string& wanted, const Metadata& metadata) {
  const std::string key =
      wanted.empty() ? "tokenizer.chat_template" : "tokenizer.chat_template." + wanted;
  if (const std::string* text = metadata.find_string(key))
    return TemplateSource{*text, metadata.file_name() + ": " + key};
  if (wanted.empty()) return std::nullopt;
  if (wanted == "chatml") return TemplateSource{std::string(kChatml), "chatml"};
  if (::access(wanted.c_str(), F_OK) == 0)
    return TemplateSource{read_input(wanted, "the chat template"), wanted};
  throw Error(
      ExitCode::usage,
      fmt::format(
          "--chat-template: '{}' is neither a file, nor chatml, nor a template that {} names",
          printable(wanted), printable(metadata.file_name())));
}

std::string token_text(const Tokenizer& tokenizer, std::optional<int> id) {
  return id ? std::string(tokenizer.vocabulary().text(*id)) : std::string();
}

// `n_cut` of the text's own tokens taken from its head or its middle; what is left is UTF-8.
std::string without_tokens(const std::string& text,
                           int n_cut,
                           Truncate how,
                           const Tokenizer& tokenizer) {
  const std::vector<int> ids =
      tokenizer.encode(text, {.add_special = false, .parse_special = true});
  const std::size_t n = std::min(ids.size(), static_cast<std::size_t>(n_cut));
  const std::size_t begin = how == Truncate::head ? 0 : (ids.size() - n) / 2;
  const std::span<const int> all(ids);
  Utf8Stream before, after;
  return before.push(tokenizer.decode(all.first(begin), true)) +
         after.push(tokenizer.decode(all.subspan(begin + n), true));
}

}  // namespace

std::string RenderedPrompt::text() const {
  std::string out;
  for (const TextPiece& piece : pieces) out += piece.text;
  return out;
}

RenderedPrompt render_prompt(const Prompt& prompt,
                             const PromptOptions& options,
                             const Metadata& metadata,
                             const Tokenizer& tokenizer) {
  if (prompt.is_chat) {
    std::vector<ChatMessage> messages;
    if (prompt.system) messages.push_back({"system", *prompt.system});
    messages.push_back({"user", prompt.text});
    if (auto chat = render_conversation(messages, options.chat_template, metadata, tokenizer))
      return std::move(*chat);
  }
  if (options.style == PromptStyle::chat)
    throw Error(
        ExitCode::unsupported,
        fmt::format(
            "{}: the model has no chat template, so --chat and --system need --chat-template",
            printable(metadata.file_name())));
  if (options.chat_template.is_asked_for())
    throw Error(ExitCode::usage,
                "--chat-template and --chat-template-kwargs need a request or --chat; the text of "
                "-p, -f and stdin is completed as it stands");
  return {{{prompt.text, true}}, false};
}

std::optional<RenderedPrompt> render_conversation(std::span<const ChatMessage> messages,
                                                  const TemplateOptions& chat_template,
                                                  const Metadata& metadata,
                                                  const Tokenizer& tokenizer) {
  const auto source = find_template(chat_template.source, metadata);
  if (!source) return std::nullopt;
  RenderOptions render;
  if (!chat_template.variables.empty())
    render.extra = parse_json_object(chat_template.variables, "--chat-template-kwargs");
  render.bos_token = token_text(tokenizer, tokenizer.vocabulary().bos());
  render.eos_token = token_text(tokenizer, tokenizer.vocabulary().eos());
  return RenderedPrompt{ChatTemplate(source->text, source->name).render(messages, render), true};
}

std::vector<int> tokenize_prompt(const RenderedPrompt& prompt, const Tokenizer& tokenizer) {
  std::vector<int> tokens =
      prompt.is_chat
          ? tokenizer.encode_pieces(prompt.pieces)
          : tokenizer.encode(prompt.pieces[0].text, {.add_special = true, .parse_special = true});
  if (tokens.empty())
    throw Error(ExitCode::usage, "the prompt is empty, and the model has no token to begin with");
  return tokens;
}

TruncatedPrompt truncate_prompt(const Prompt& prompt,
                                const PromptOptions& options,
                                const Metadata& metadata,
                                const Tokenizer& tokenizer,
                                int n_tokens) {
  constexpr int kTries = 8;  // cutting may add a few tokens at the seam
  Prompt cut = prompt;
  TruncatedPrompt out;
  int n_cut = 0;
  for (int i = 0; i < kTries; ++i) {
    out.rendered = render_prompt(cut, options, metadata, tokenizer);
    out.tokens = tokenize_prompt(out.rendered, tokenizer);
    const int n_over = static_cast<int>(out.tokens.size()) - n_tokens;
    if (n_over <= 0) break;
    n_cut += n_over;
    cut.text = without_tokens(prompt.text, n_cut, options.truncate, tokenizer);
  }
  return out;
}

}  // namespace haikuda
