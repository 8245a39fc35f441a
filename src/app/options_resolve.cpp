// After parsing: rules that concern several options, and texts that become values.
#include <charconv>
#include <climits>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/json_text.h"
#include "app/option_groups.h"
#include "app/terminal.h"
#include "base/error.h"
#include "base/printable.h"
#include "base/utf8.h"

namespace haikuda {
namespace {

DeviceChoice parse_device(const std::string& text) {
  if (text == "auto") return {DeviceKind::automatic, 0};
  if (text == "cpu" || text == "none" || text == "CPU") return {DeviceKind::cpu, 0};
  if (text == "cuda") return {DeviceKind::cuda, 0};
  const std::size_t prefix = text.starts_with("cuda:") ? 5 : text.starts_with("CUDA") ? 4 : 0;
  if (prefix > 0) {
    int index = 0;
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data() + prefix, last, index);
    if (error == std::errc{} && end == last && index >= 0 && index < 1024)
      return {DeviceKind::cuda, index};
  }
  throw Error(ExitCode::usage,
              fmt::format("--device: '{}' is none of auto, cpu, cuda, cuda:N", printable(text)));
}

std::optional<int> parse_gpu_layers(const std::string& text) {
  if (text == "auto") return std::nullopt;
  if (text == "all") return INT_MAX;
  int n = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, n);
  if (error != std::errc{} || end != last || n < 0)
    throw Error(ExitCode::usage,
                fmt::format("--gpu-layers: '{}' is none of auto, all and a number from 0 on",
                            printable(text)));
  return n;
}

}  // namespace

void resolve_device(RawOptions& raw) {
  Options& o = raw.options;
  o.device = parse_device(raw.device);
  if (raw.main_gpu >= 0) {
    if (o.device.kind == DeviceKind::cpu)
      throw Error(ExitCode::usage, "--device cpu excludes --main-gpu");
    o.device = {DeviceKind::cuda, raw.main_gpu};
  }
  o.gpu_layers = parse_gpu_layers(raw.gpu_layers);
  if (!o.gpu_layers) return;
  const bool none = *o.gpu_layers == 0;
  if (none ? o.device.kind == DeviceKind::cuda : o.device.kind == DeviceKind::cpu)
    throw Error(ExitCode::usage, fmt::format("--gpu-layers {} contradicts --device {}",
                                             raw.gpu_layers, none ? "cuda" : "cpu"));
  if (none) o.device = {DeviceKind::cpu, 0};
}

namespace {

void resolve_system(const CLI::App& app, RawOptions& raw) {
  PromptOptions& p = raw.options.prompt;
  if (app.count("--system") > 0) p.system = raw.system;
  if (p.system && !p.system_file.empty())
    throw Error(ExitCode::usage, "give --system or --system-file, not both");
}

void resolve_prompt(const CLI::App& app, RawOptions& raw) {
  PromptOptions& p = raw.options.prompt;
  if (app.count("--prompt") > 0) p.prompt = raw.prompt;
  resolve_system(app, raw);
  const bool has_system = p.system || !p.system_file.empty();
  if (raw.raw && (raw.chat || has_system))
    throw Error(ExitCode::usage, "--raw excludes --chat and --system");
  if (!p.request.empty() && p.prompt)
    throw Error(ExitCode::usage, "give a request or -p TEXT, not both");
  if (raw.raw) p.style = PromptStyle::raw;
  if (raw.chat || has_system) p.style = PromptStyle::chat;
  p.truncate = raw.truncate == "head"     ? Truncate::head
               : raw.truncate == "middle" ? Truncate::middle
                                          : Truncate::refuse;
}

// What generate and chat share.
void resolve_run(const CLI::App& app, RawOptions& raw) {
  Options& o = raw.options;
  resolve_device(raw);
  resolve_samplers(app, raw);
  if (raw.seed >= 0) o.seed = static_cast<std::uint64_t>(raw.seed);
  for (const std::string& stop : o.stop) {
    if (stop.empty()) throw Error(ExitCode::usage, "--stop: the text is empty");
    if (find_invalid_utf8(stop))
      throw Error(
          ExitCode::usage,
          fmt::format("--stop: '{}' is not valid UTF-8, which all output is", printable(stop)));
  }
  if (raw.stats && raw.no_stats)
    throw Error(ExitCode::usage, "give --stats or --no-stats, not both");
  o.stats = raw.stats || (!raw.no_stats && !o.quiet);
  const std::string& variables = o.prompt.chat_template.variables;
  if (!variables.empty()) parse_json_object(variables, "--chat-template-kwargs");
  o.output.reasoning = raw.reasoning == "stderr" ? Reasoning::to_stderr
                       : raw.reasoning == "hide" ? Reasoning::nowhere
                                                 : Reasoning::to_stdout;
  set_color(raw.color);
}

}  // namespace

Options resolve_generate(const CLI::App& app, RawOptions&& raw) {
  Options& o = raw.options;
  resolve_prompt(app, raw);
  resolve_run(app, raw);
  resolve_trace(app, raw);
  if (raw.json && raw.jsonl) throw Error(ExitCode::usage, "give --json or --jsonl, not both");
  if (raw.json) o.output.format = OutputFormat::json;
  if (raw.jsonl) o.output.format = OutputFormat::jsonl;
  if (app.count("--logprobs") > 0) o.n_logprobs = raw.n_logprobs;
  if (o.n_logprobs && o.output.format == OutputFormat::text)
    throw Error(ExitCode::usage, "--logprobs needs --json or --jsonl, which carry them");
  if (o.output.echo && o.output.format != OutputFormat::text)
    throw Error(ExitCode::usage,
                "--echo excludes --json and --jsonl, whose text is what was generated");
  if (o.output.reasoning != Reasoning::to_stdout && o.output.format != OutputFormat::text)
    throw Error(ExitCode::usage,
                "--reasoning excludes --json and --jsonl, whose text is what was generated");
  if (o.keep_stop && o.stop.empty()) throw Error(ExitCode::usage, "--stop-keep needs --stop");
  return std::move(raw.options);
}

ChatOptions resolve_chat(const CLI::App& app, RawOptions&& raw) {
  resolve_system(app, raw);
  resolve_run(app, raw);
  return {std::move(raw.options), std::move(raw.history)};
}

TokenizeOptions resolve_tokenize(const CLI::App& app, RawOptions&& raw) {
  TokenizeOptions& t = raw.tokenize;
  t.prompt = raw.options.prompt;
  t.add_special = !raw.no_bos;
  t.parse_special = !raw.no_parse_special;
  t.json = raw.json;
  if (app.count("--prompt") > 0) t.prompt.prompt = raw.prompt;
  if (!t.prompt.request.empty()) {
    if (t.prompt.prompt) throw Error(ExitCode::usage, "give a text or -p TEXT, not both");
    t.prompt.prompt = std::exchange(t.prompt.request, {});
  }
  const bool has_other = t.prompt.prompt || !t.prompt.files.empty();
  if (raw.stdin_only && has_other)
    throw Error(ExitCode::usage, "--stdin excludes -p, -f and a text");
  t.prompt.no_stdin = has_other;
  t.prompt.style = PromptStyle::raw;
  if (t.json && t.ids_only) throw Error(ExitCode::usage, "give --ids or --json, not both");
  return std::move(raw.tokenize);
}

DiagnoseOptions resolve_diagnose(const CLI::App& app, RawOptions&& raw) {
  need_probe("diagnose");
  DiagnoseOptions& o = raw.diagnose;
  o.device = parse_device(raw.device);
  if (o.prompt.empty()) throw Error(ExitCode::usage, "--prompt: the text is empty");
  const auto resolve_maps = [&](IndexSet& out, const std::string& text, const std::string& flag) {
    if (app.count(flag) == 0) return;
    if (o.report.empty()) throw Error(ExitCode::usage, flag + " needs --report FILE");
    out = IndexSet::parse(text, flag);
  };
  resolve_maps(o.report_layers, raw.report_layers, "--report-layers");
  resolve_maps(o.report_heads, raw.report_heads, "--report-heads");
  return std::move(raw.diagnose);
}

}  // namespace haikuda
