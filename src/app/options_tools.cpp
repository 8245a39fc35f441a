#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/option_groups.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

void add_info_options(CLI::App& app, InfoOptions& o) {
  app.add_option("file", o.model, "The model, as with -m")->type_name("MODEL");
  add_model_option(app, o.model);
  app.option_defaults()->group("Output");
  app.add_flag("--json", o.json, "One JSON object");
  app.add_flag("--tensors", o.tensors, "Each tensor: type, shape, name");
  app.add_flag("--metadata", o.metadata, "Each key and its value");
}

void add_tokenize_options(CLI::App& app, RawOptions& raw) {
  TokenizeOptions& o = raw.tokenize;
  PromptOptions& p = raw.options.prompt;
  app.add_option("text", p.request, "Text to tokenize")->type_name("TEXT");
  add_model_option(app, o.model);
  app.option_defaults()->group("Text");
  app.add_option("-p,--prompt", raw.prompt, "Text to tokenize")->type_name("TEXT");
  app.add_option("-f,--file", p.files, "The same from FILE, without its last newline; repeatable")
      ->type_name("FILE")
      ->take_all()
      ->allow_extra_args(false);
  app.add_flag("--stdin", raw.stdin_only, "The same from stdin; the default when no text is given");
  app.add_flag("-e,--escape", p.escapes, "Read \\n, \\t, \\xHH and the like in -p");
  app.add_flag("--no-bos", raw.no_bos, "Do not add BOS and EOS");
  app.add_flag("--no-parse-special", raw.no_parse_special,
               "Special tokens written in the text are text");
  app.option_defaults()->group("Output");
  app.add_flag("--ids", o.ids_only, "The ids alone, as [1, 2, 3]");
  app.add_flag("--json", raw.json, "An object with ids, tokens and count");
  app.add_flag("--show-count", o.show_count, "The number of tokens, last");
}

void add_detokenize_options(CLI::App& app, DetokenizeOptions& o) {
  app.add_option("ids", o.ids, "Token ids; none: read them from stdin")
      ->type_name("ID")
      ->allow_extra_args(true);
  add_model_option(app, o.model);
  app.option_defaults()->group("Text");
  app.add_option("-f,--file", o.file,
                 "Read ids from FILE: a list, a JSON array or an object with ids")
      ->type_name("FILE");
  app.add_flag("--special", o.special, "Write special tokens too");
}

void add_diagnose_options(CLI::App& app, RawOptions& raw) {
  DiagnoseOptions& o = raw.diagnose;
  add_model_option(app, o.model);
  app.option_defaults()->group("Model");
  app.add_option("--device", raw.device, "Where to run: auto, cpu, cuda or cuda:N")
      ->type_name("auto|cpu|cuda|cuda:N")
      ->capture_default_str();
  app.add_option("-t,--threads", o.n_threads, "Host threads; 0: one for each core")
      ->type_name("N")
      ->check(number_in(0, 1024))
      ->capture_default_str();
  app.option_defaults()->group("Examination");
  app.add_option("-p,--prompt", o.prompt, "Text to run, as it stands")
      ->type_name("TEXT")
      ->capture_default_str();
  app.add_option("-n,--predict,--n-predict", o.n_decode, "Tokens to decode after it")
      ->type_name("N")
      ->check(number_in(1, 256))
      ->capture_default_str();
  app.add_option("--against", o.against,
                 "Find where it parts from the CPU, from a trace or from another model file")
      ->type_name("cpu|FILE");
  app.option_defaults()->group("Output");
  app.add_flag("--json", o.json, "One JSON object");
  app.add_option("--report", o.report, "Write verdicts and charts to FILE, one HTML page")
      ->type_name("FILE");
  app.add_option("--report-layers", raw.report_layers,
                 "Layers whose attention it draws, such as 0-1,23 [first, middle, last]")
      ->type_name("LIST|all");
  app.add_option("--report-heads", raw.report_heads, "Heads, in the same way")
      ->type_name("LIST|all");
}

}  // namespace

void add_tool_options(CLI::App& app, const std::string& command, RawOptions& raw) {
  if (command == "info") add_info_options(app, raw.info);
  if (command == "tokenize") add_tokenize_options(app, raw);
  if (command == "detokenize") add_detokenize_options(app, raw.detokenize);
  if (command == "bench") add_bench_options(app, raw);
  if (command == "diagnose") add_diagnose_options(app, raw);
  if (command == "devices")
    app.add_flag("--json", raw.devices.json, "One JSON object")->group("Output");
  if (command == "completions")
    app.add_option("shell", raw.shell, "The shell")
        ->type_name("bash|zsh|fish")
        ->check(one_of({"bash", "zsh", "fish"}))
        ->required();
}

namespace {

constexpr std::uintmax_t kMaxConfigBytes = std::uintmax_t{1} << 20;

[[noreturn]] void fail_config(ExitCode code, const std::string& path, const std::string& why) {
  throw Error(code,
              fmt::format("cannot read the configuration file '{}': {}", printable(path), why));
}

// Neither endless nor waiting: a device or a FIFO is refused.
void check_config_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (error) fail_config(ExitCode::io, path, error.message());
  if (!std::filesystem::is_regular_file(status))
    fail_config(ExitCode::io, path, "not a regular file");
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) fail_config(ExitCode::io, path, error.message());
  if (bytes > kMaxConfigBytes)
    fail_config(ExitCode::usage, path,
                fmt::format("{} bytes, at most {} are allowed", bytes, kMaxConfigBytes));
}

}  // namespace

std::vector<ConfigValue> read_config_file(const std::string& path) {
  check_config_file(path);
  errno = 0;
  std::ifstream in(path);
  if (!in && errno == ENOMEM) throw std::bad_alloc();
  if (!in) fail_config(ExitCode::io, path, std::strerror(errno));
  std::vector<ConfigValue> out;
  try {
    for (CLI::ConfigItem& item : CLI::ConfigINI().from_config(in)) {
      if (item.name == "++" || item.name == "--") continue;  // a section's begin and end
      out.push_back({item.parents.empty() ? "" : CLI::detail::join(item.parents, "."),
                     std::move(item.name), std::move(item.inputs)});
    }
  } catch (const CLI::Error& e) {
    throw Error(ExitCode::usage, fmt::format("{}: {}", printable(path), printable(e.what())));
  }
  if (in.bad() && errno == ENOMEM) throw std::bad_alloc();  // which streams swallow
  if (in.bad()) fail_config(ExitCode::io, path, std::strerror(errno));
  return out;
}

}  // namespace haikuda
