// The definitions of options, one function for each group; each binds options to fields. CLI11
// stays in options*.cpp.
#pragma once

#include <string>
#include <vector>

#include "app/command_spec.h"
#include "app/options.h"

namespace CLI {
class App;
class Option;
class Validator;
}  // namespace CLI

namespace haikuda {

// Values as they were given, before the rules that concern several options.
struct RawOptions {
  Options options;
  std::string history;  // of chat
  InfoOptions info;
  TokenizeOptions tokenize;
  DetokenizeOptions detokenize;
  DiagnoseOptions diagnose;
  DevicesOptions devices;
  BenchOptions bench;
  std::vector<std::string> n_prompt, n_gen, n_depth, prompt_gen;  // of bench: lists and ranges
  std::string bench_format = "md";
  double fail_below = 0;
  bool no_warm_up = false;
  std::string device = "auto", gpu_layers = "auto", color = "auto", reasoning = "stdout";
  int main_gpu = -1;
  bool raw = false, chat = false, json = false, jsonl = false, no_bos = false,
       no_parse_special = false;
  bool stats = false, no_stats = false, stdin_only = false;
  std::string prompt, system, truncate = "no", shell, config;
  std::string samplers, sampler_sequence;
  std::vector<std::string> dry_breakers;
  std::string trace_layers = "all", trace_positions = "all", trace_stages = "all";
  std::string trace_values = "10", trace_heads;
  std::string report_layers, report_heads;
  std::int64_t seed = -1;
  int n_logprobs = -1;
};

CLI::Validator number_in(double min, double max);  // unlike CLI::Range refuses NaN
CLI::Validator one_of(std::vector<std::string> values);

void add_model_option(CLI::App& app, std::string& model);
void add_model_options(CLI::App& app, RawOptions& raw);
void add_device_options(CLI::App& app, RawOptions& raw);  // --device, --threads
void add_chunk_options(CLI::App& app, RawOptions& raw);   // --batch-size, --ubatch-size
void add_hidden_device_options(CLI::App& app, RawOptions& raw);
void add_prompt_options(CLI::App& app, RawOptions& raw);
void add_output_options(CLI::App& app, RawOptions& raw);
void add_generation_options(CLI::App& app, RawOptions& raw);
void add_sampler_options(CLI::App& app, RawOptions& raw);
// After parsing: the order of the samplers, and whether all values make sense. Throws Error(usage).
void resolve_samplers(const CLI::App& app, RawOptions& raw);
void add_trace_options(CLI::App& app, RawOptions& raw);
// Throws Error(unsupported) in a build without a probe, which `what` needs.
void need_probe(const char* what);
// After parsing: what is traced. Throws Error(usage), or as need_probe().
void resolve_trace(const CLI::App& app, RawOptions& raw);
void add_chat_options(CLI::App& app, RawOptions& raw);
void add_bench_options(CLI::App& app, RawOptions& raw);
// After parsing and resolve_device. Throws Error(usage).
BenchOptions resolve_bench(const CLI::App& app, RawOptions& raw);
void add_tool_options(CLI::App& app, const std::string& command, RawOptions& raw);

// After parsing: rules that concern several options. Each throws Error(usage), resolve_diagnose
// also as need_probe().
void resolve_device(RawOptions& raw);
Options resolve_generate(const CLI::App& app, RawOptions&& raw);
ChatOptions resolve_chat(const CLI::App& app, RawOptions&& raw);
TokenizeOptions resolve_tokenize(const CLI::App& app, RawOptions&& raw);
DiagnoseOptions resolve_diagnose(const CLI::App& app, RawOptions&& raw);

// The pairs that one configuration file sets, in its order; `section` is a command's name or empty.
struct ConfigValue {
  std::string section, name;
  std::vector<std::string> values;
};
std::vector<ConfigValue> read_config_file(const std::string& path);

}  // namespace haikuda
