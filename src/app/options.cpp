#include "app/options.h"

#include <algorithm>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/argv_shim.h"
#include "app/completions.h"
#include "app/help_text.h"
#include "app/option_groups.h"
#include "app/option_sources.h"
#include "app/version.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr const char* kExamples =
    "haikuda \"Write a haiku about rain\"                       ask the model inside\n"
    "haikuda -m model.gguf -p \"The capital of\" -n 32          complete a text with another\n"
    "git diff | haikuda -m qwen2.5-0.5b \"Summarize\" > s.txt   join stdin and a request\n"
    "haikuda -m model.gguf -p \"1, 2,\" --json | jq -r .text    a record for scripts\n";

constexpr const char* kFooter =
    "Exit codes: 0 done, 1 internal, 2 usage, 3 model file missing or invalid, 4 unsupported "
    "model or build, 5 no\n"
    "usable GPU, 6 out of memory, 7 GPU fault or non-finite logits, 8 input or output failed, 9 "
    "prompt too long,\n"
    "10 a check failed (diagnose, bench, --fail-on-length), 124 --timeout, 130/143 "
    "interrupted, 141 broken pipe.\n"
    "HAIKUDA_NAME, LLAMA_ARG_NAME and ~/.config/haikuda/config.ini set options too (-v shows from "
    "where).\n";

struct CommandName {
  const char *name, *summary;
};
constexpr CommandName kCommands[] = {
    {"", "text from a GGUF model, on a GPU or on the CPU"},
    {"chat", "a conversation, turn by turn"},
    {"info", "what a model file contains; reads its header only"},
    {"tokenize", "the tokens of a text"},
    {"detokenize", "the text of token ids"},
    {"bench", "how fast a model runs here, in llama-bench's rows"},
    {"diagnose", "is a model on a device healthy, and if not, which stage broke; exit code 10"},
    {"devices", "what this machine can run models on"},
    {"completions", "a completion script for bash, zsh or fish"},
};

void define(CLI::App& app, const std::string& command, RawOptions& raw) {
  if (command.empty()) {
    add_prompt_options(app, raw);
    add_model_options(app, raw);
    add_generation_options(app, raw);
    add_sampler_options(app, raw);
    add_output_options(app, raw);
    add_trace_options(app, raw);
  } else if (command == "chat") {
    add_chat_options(app, raw);
  } else {
    add_tool_options(app, command, raw);
  }
  app.add_option("--config", raw.config, "Read options from FILE")
      ->type_name("FILE")
      ->group("Help");
  app.add_flag("-h,--help")->description("Print help")->group("Help");
  if (!command.empty()) return;
  app.add_flag("--version")->description("Print the version")->group("Help");
  app.add_flag("--man")->description("Print the manual page, for man -l -")->group("Help");
}

// --- What CLI11 knows, as plain data ---

std::vector<std::string> choices_of(const std::string& value_name) {
  if (value_name.find('|') == std::string::npos) return {};
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin <= value_name.size();) {
    const std::size_t end = std::min(value_name.find('|', begin), value_name.size());
    const std::string choice = value_name.substr(begin, end - begin);
    const bool is_placeholder =
        std::any_of(choice.begin(), choice.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
    if (!is_placeholder) out.push_back(choice);
    begin = end + 1;
  }
  return out;
}

OptionSpec describe(const CLI::Option& option) {
  OptionSpec spec;
  for (const std::string& name : option.get_snames()) spec.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) spec.names.push_back("--" + name);
  if (spec.names.empty()) spec.positional = option.get_name(true);
  if (option.get_items_expected_max() > 0) spec.value_name = option.get_type_name();
  spec.choices = choices_of(spec.value_name);
  spec.description = option.get_description();
  spec.default_text = option.get_default_str();
  spec.group = option.get_group();
  spec.repeatable = option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  return spec;
}

ProgramSpec describe_program() {
  ProgramSpec program{kVersion, kExamples, kFooter, {}};
  for (const CommandName& c : kCommands) {
    CLI::App app;
    app.set_help_flag();
    app.option_defaults()->take_last();
    RawOptions raw;
    define(app, c.name, raw);
    CommandSpec command{c.name, c.summary, {}};
    for (const CLI::Option* option : app.get_options())
      command.options.push_back(describe(*option));
    program.commands.push_back(std::move(command));
  }
  return program;
}

// --- Parsing ---

std::string with_sources(std::string message, const std::vector<SourcedOption>& options) {
  for (const SourcedOption& o : options)
    if (o.origin != "flag" && message.find(o.name) != std::string::npos)
      return fmt::format("{} (from {})", message, o.origin);
  return message;
}

void parse_with(CLI::App& app,
                const std::vector<SourcedOption>& options,
                const std::vector<std::string>& positionals) {
  std::vector<std::string> arguments;
  for (const SourcedOption& o : options) {
    if (o.has_value && !o.value.empty()) {
      arguments.push_back(o.name + "=" + o.value);
    } else {
      arguments.push_back(o.name);
      if (o.has_value) arguments.emplace_back();
    }
  }
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), positionals.begin(), positionals.end());
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 wants them
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::ExtrasError&) {
    throw Error(ExitCode::usage,
                fmt::format("unexpected argument '{}'; quote a text of several words; see --help",
                            positionals.empty() ? "" : printable(positionals.back())));
  } catch (const CLI::ParseError& e) {
    throw Error(ExitCode::usage, with_sources(printable(e.what()), options) + "; see --help");
  }
}

std::vector<Setting> settings_of(const CommandSpec& command,
                                 const std::vector<SourcedOption>& options) {
  std::vector<Setting> out;
  for (const OptionSpec& spec : command.options) {
    if (spec.is_positional()) continue;
    const auto given = std::find_if(options.rbegin(), options.rend(), [&](const SourcedOption& o) {
      return o.name == spec.canonical();
    });
    if (given != options.rend())
      out.push_back({given->name, given->has_value ? given->value : "on", given->origin});
    else if (!spec.default_text.empty())
      out.push_back({spec.canonical(), spec.default_text, "default"});
  }
  return out;
}

std::optional<PrintText> answer_by_text(const ProgramSpec& program,
                                        const CommandSpec& command,
                                        const ShimmedArguments& arguments) {
  const auto asked = [&](std::string_view name) {
    return std::any_of(arguments.options.begin(), arguments.options.end(),
                       [&](const ShimmedOption& o) { return o.name == name; });
  };
  if (asked("--help")) return PrintText{help_text(program, command)};
  if (asked("--version")) return PrintText{fmt::format("haikuda {}\n", program.version)};
  if (asked("--man")) return PrintText{man_page(program)};
  return std::nullopt;
}

// A command's name that comes too late would be taken for a request.
void refuse_late_command(const ProgramSpec& program, const ShimmedArguments& arguments) {
  if (arguments.positionals.size() != 1 || arguments.options.empty()) return;
  const std::string& word = arguments.positionals.front();
  if (!word.empty() && program.find(word) != nullptr)
    throw Error(ExitCode::usage, fmt::format("the command comes first: haikuda {0} ...; to ask the "
                                             "model \"{0}\", put it before the options "
                                             "with a blank, as \"{0} \"",
                                             word));
}

// A first word that is a file NAME.gguf stands for -m, unless there is one or the word means a
// model anyway.
void take_model_positional(const CommandSpec& command, ShimmedArguments& arguments) {
  const bool is_model_already =
      std::any_of(command.options.begin(), command.options.end(),
                  [](const OptionSpec& o) { return o.is_positional() && o.value_name == "MODEL"; });
  if (is_model_already || command.find("--model") == nullptr || arguments.positionals.empty())
    return;
  const std::string word = arguments.positionals.front();
  const bool has_model = std::any_of(arguments.options.begin(), arguments.options.end(),
                                     [](const ShimmedOption& o) { return o.name == "--model"; });
  std::error_code error;
  if (has_model || !word.ends_with(".gguf") || !std::filesystem::is_regular_file(word, error))
    return;
  arguments.options.push_back({"--model", word, true});
  arguments.positionals.erase(arguments.positionals.begin());
}

Request resolve(const CommandSpec& command,
                const ProgramSpec& program,
                const CLI::App& app,
                RawOptions&& raw) {
  if (command.name == "info") return std::move(raw.info);
  if (command.name == "tokenize") return resolve_tokenize(app, std::move(raw));
  if (command.name == "detokenize") return std::move(raw.detokenize);
  if (command.name == "diagnose") return resolve_diagnose(app, std::move(raw));
  if (command.name == "devices") return raw.devices;
  if (command.name == "bench") {
    resolve_device(raw);
    return resolve_bench(app, raw);
  }
  return PrintText{completion_script(program, raw.shell)};
}

}  // namespace

bool Options::is_set(std::string_view name) const {
  return std::any_of(settings.begin(), settings.end(),
                     [&](const Setting& s) { return s.name == name && s.origin != "default"; });
}

Request parse_options(int argc, const char* const* argv) {
  std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
  const ProgramSpec program = describe_program();
  const CommandSpec* command =
      arguments.empty() || arguments[0].empty() ? nullptr : program.find(arguments[0]);
  if (command != nullptr)
    arguments.erase(arguments.begin());
  else
    command = &program.commands.front();
  ShimmedArguments shimmed = shim_arguments(*command, arguments);
  if (auto text = answer_by_text(program, *command, shimmed)) return std::move(*text);
  if (command->name.empty()) refuse_late_command(program, shimmed);
  take_model_positional(*command, shimmed);
  const auto sourced = merge_sources(program, *command, shimmed.options);

  CLI::App app;
  app.set_help_flag();
  app.option_defaults()->take_last();
  RawOptions raw;
  define(app, command->name, raw);
  parse_with(app, sourced, shimmed.positionals);
  raw.options.warnings = shimmed.warnings;
  raw.options.settings = settings_of(*command, sourced);
  if (command->name == "chat") return resolve_chat(app, std::move(raw));
  if (!command->name.empty()) return resolve(*command, program, app, std::move(raw));
  if (app.count("--system-info") > 0) return DevicesOptions{.system_info = true};
  if (app.count("--list-devices") > 0) return DevicesOptions{};
  return resolve_generate(app, std::move(raw));
}

}  // namespace haikuda
