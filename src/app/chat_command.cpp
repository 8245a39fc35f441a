// A conversation, turn by turn: answers on stdout, everything else on the terminal or stderr.
#include <algorithm>
#include <array>
#include <cstdio>

#include <fmt/format.h>

#include "app/answer_writer.h"
#include "app/argv_shim.h"
#include "app/commands.h"
#include "app/conversation.h"
#include "app/json_text.h"
#include "app/line_reader.h"
#include "app/prompt.h"
#include "app/run_report.h"
#include "app/run_setup.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "base/printable.h"

namespace haikuda {
namespace {

struct ChatCommand {
  const char *name, *argument, *summary;
};
constexpr std::array kChatCommands = {
    ChatCommand{"/system", "TEXT", "set the system message; without TEXT there is none"},
    ChatCommand{"/undo", "", "take back the last message and its answer"},
    ChatCommand{"/reset", "", "begin anew; the system message stays"},
    ChatCommand{"/save", "FILE", "write the conversation to FILE, as JSON"},
    ChatCommand{"/help", "", "print this"},
    ChatCommand{"/quit", "", "end, as Ctrl-D does"},
};

constexpr const char* kHelp =
    "A line that ends in a backslash goes on in the next one. A message that begins with / is\n"
    "written with a blank before it. Ctrl-C ends an answer; when nothing is being written, it\n"
    "ends the program.\n";

std::string help() {
  std::string out;
  for (const ChatCommand& c : kChatCommands)
    out += fmt::format("{:<14}{}\n", fmt::format("{} {}", c.name, c.argument), c.summary);
  return out + kHelp;
}

// There is a conversation to lose, so Ctrl-C waits for the part of a message that is being
// computed: on the CPU no more tokens than small models take 100 ms for.
GenerateOptions chat_generation(const Options& options, const RunFacts& facts) {
  constexpr int kCpuPart = 8;
  GenerateOptions generation = generate_options(options, facts);
  if (!facts.on_gpu) generation.prefill_part = std::min(generation.prefill_part, kCpuPart);
  return generation;
}

[[noreturn]] void fail_unknown(const std::string& name) {
  std::vector<std::string> names;
  names.reserve(std::size(kChatCommands));
  for (const ChatCommand& c : kChatCommands) names.emplace_back(c.name);
  const std::string nearest = nearest_name(name, names);
  throw Error(ExitCode::usage,
              fmt::format("there is no {}; {}", printable(name, 40),
                          nearest.empty() ? "/help lists what there is, and a message that begins "
                                            "with / is written with a blank before it"
                                          : "did you mean " + nearest + "?"));
}

class Chat {
 public:
  Chat(const Options& options,
       const OpenedModel& opened,
       const LoadedModel& loaded,
       bool opens_reasoning,
       LineReader& reader,
       TextSink& sink)
      : options_(options),
        facts_(loaded.facts),
        conversation_(opened.model, *opened.tokenizer, *loaded.backend, options.prompt),
        generation_(chat_generation(options, loaded.facts)),
        opens_reasoning_(opens_reasoning),
        reader_(reader),
        sink_(sink) {}

  ExitCode run() {
    if (reader_.is_interactive() && !options_.quiet)
      tell("haikuda: /help lists commands, Ctrl-D ends\n");
    while (true) {
      end_at_once_on_signals();
      const std::optional<std::string> message = read_message(reader_);
      finish_gently_on_signals();
      if (!message) break;
      if (!take(*message)) return ExitCode::ok;
      const auto stop = stop_requested();
      if (stop && (*stop != ExitCode::interrupted || !reader_.is_interactive())) return *stop;
      forget_interrupt();
    }
    if (reader_.is_interactive()) std::fputs("\n", stderr);
    return ExitCode::ok;
  }

 private:
  // False at /quit. A person may put right what went wrong; a script gets the exit code.
  bool take(const std::string& message) {
    try {
      check_utf8(message, "the message");
      if (message.starts_with('/')) return obey(message);
      if (message.find_first_not_of(" \t\n") != std::string::npos) answer(message);
      return true;
    } catch (const Error& e) {
      const bool can_go_on = e.code() == ExitCode::usage || e.code() == ExitCode::io ||
                             e.code() == ExitCode::prompt_too_long;
      if (!reader_.is_interactive() || !can_go_on) throw;
      print_error(e.what());
      return true;
    }
  }

  bool obey(const std::string& line) {
    const std::size_t end = std::min(line.find_first_of(" \t\n"), line.size());
    const std::string name = line.substr(0, end);
    const std::size_t begin = std::min(line.find_first_not_of(" \t\n", end), line.size());
    const std::string argument = line.substr(begin);
    const auto command = std::find_if(kChatCommands.begin(), kChatCommands.end(),
                                      [&](const ChatCommand& c) { return c.name == name; });
    if (command == kChatCommands.end()) fail_unknown(name);
    if (!argument.empty() && *command->argument == '\0')
      throw Error(ExitCode::usage, name + " takes nothing after it");
    if (name == "/system")
      conversation_.set_system(argument.empty() ? std::nullopt : std::optional(argument));
    if (name == "/undo" && !conversation_.undo())
      throw Error(ExitCode::usage, "/undo: nothing was said yet");
    if (name == "/reset") conversation_.reset();
    if (name == "/save") save(argument);
    if (name == "/help") tell(help());
    return name != "/quit";
  }

  void save(const std::string& file) const {
    if (file.empty()) throw Error(ExitCode::usage, "/save needs the name of a file");
    Json messages = Json::array();
    for (const ChatMessage& m : conversation_.messages())
      messages.push_back({{"role", m.role}, {"content", m.content}});
    TextSink out(file);
    out.write(
        dump_json({{"schema", kSchemaVersion}, {"messages", std::move(messages)}}, false, true));
    out.finish();
  }

  void answer(const std::string& message) {
    AnswerWriter writer(sink_, options_.output.reasoning, opens_reasoning_);
    // A signal ends the conversation of a script, all answers of which are out until a new one
    // begins.
    if (!reader_.is_interactive()) nothing_to_lose_on_signals();
    const auto write = [&](std::string_view text) {
      finish_gently_on_signals();
      writer.write(text);
    };
    const GenerateHooks hooks{.on_text = write, .should_stop = stop_question(sink_)};
    const GenerateResult r = conversation_.ask(message, generation_, hooks);
    finish_gently_on_signals();
    writer.finish();
    if (!sink_.is_terminal()) sink_.write("\n");
    sink_.finish();
    if (options_.stats) print_stats(r, facts_, reason_name(r.reason), generation_.sampler);
    if (r.reason == FinishReason::context)
      note(options_, fmt::format("the context of {} tokens is full; /undo or /reset makes room, -c "
                                 "sets its size",
                                 facts_.n_ctx));
    ++generation_.sampler.seed;
  }

  const Options& options_;
  const RunFacts& facts_;
  Conversation conversation_;
  GenerateOptions generation_;
  bool opens_reasoning_;
  LineReader& reader_;
  TextSink& sink_;
};

// Before the weights are loaded: that there is a chat template, and one that can be run. Whether
// answers begin inside of <think>.
bool check_template(const OpenedModel& opened, const PromptOptions& options) {
  const std::array message = {ChatMessage{"user", "Hello"}};
  const Metadata& metadata = opened.model.files.metadata;
  const auto rendered =
      render_conversation(message, options.chat_template, metadata, *opened.tokenizer);
  if (!rendered)
    throw Error(ExitCode::unsupported,
                fmt::format("{}: the model has no chat template, so chat needs --chat-template",
                            printable(metadata.file_name())));
  return opens_reasoning(rendered->text());
}

}  // namespace

ExitCode run_chat(ChatOptions chat, Process& process) {
  Options& options = chat.run;
  install_signal_handlers();
  print_warnings(options);
  TextSink sink({}, options.output.stream);
  process.start_device(options.device);
  const auto reader = make_line_reader(chat.history);
  OpenedModel& opened = process.keep(std::make_unique<OpenedModel>(options, process));
  const bool opens_reasoning = check_template(opened, options.prompt);
  opened.place(options, process);
  // With its template the first message is no short prompt: what such a one needs is loaded before
  // it is typed, or Ctrl-C would have to wait for that.
  constexpr int kFirstPrompt = 256;
  const LoadedModel& loaded = process.keep(
      std::make_unique<LoadedModel>(load_model(opened, options, process, kFirstPrompt)));
  return Chat(options, opened, loaded, opens_reasoning, *reader, sink).run();
}

}  // namespace haikuda
