// What was asked on the command line, validated. Parsing, and CLI11, are in options*.cpp alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "infer/sampler_options.h"
#include "inspect/trace_filter.h"

namespace haikuda {

enum class DeviceKind { automatic, cpu, cuda };

struct DeviceChoice {
  DeviceKind kind = DeviceKind::automatic;
  int index = 0;  // of several GPUs
};

// How a prompt becomes tokens: as it stands, or as a user's message in the model's chat template.
enum class PromptStyle { by_kind, raw, chat };
// Where goes what a model thinks before it answers.
enum class Reasoning { to_stdout, to_stderr, nowhere };
// What gives way when a prompt is longer than the context.
enum class Truncate { refuse, head, middle };
enum class OutputFormat { text, json, jsonl };

// An option's value and where it came from, for -v.
struct Setting {
  std::string name, value;
  std::string origin;  // "flag", "environment NAME", "config FILE" or "default"
};

// Where a model is and where it runs.
struct ModelOptions {
  std::string model;  // -m: path, or the name of a fetched model; empty: the one inside
  int n_ctx = 0;      // 0: what the model was trained for, as far as it fits
  int n_threads = 0;  // 0: one for each core
  int ubatch = 0;     // tokens of a prompt computed at once; 0: as the device likes it
  DeviceChoice device;
  // Layers on the GPU: none given; 0 is the CPU. A model is never split, so fewer than all are
  // refused.
  std::optional<int> gpu_layers;
  // How the device is to compute and cache; empty: as it does.
  std::string flash_attention, cache_type_k, cache_type_v;
  std::vector<std::string> overrides;  // --override-kv, as they were typed
  bool check_tensors = false;          // look at all weights before they are used
};

// What conversations are rendered with.
struct TemplateOptions {
  std::string source;     // --chat-template: a file, or the name of a template of the model; empty:
                          // its own
  std::string variables;  // --chat-template-kwargs: a JSON object; empty: none

  bool is_asked_for() const { return !source.empty() || !variables.empty(); }
};

struct PromptOptions {
  std::string request;                   // positional: a request; "-": stdin
  std::optional<std::string> prompt;     // -p: text to complete; "-": stdin
  std::vector<std::string> files;        // -f; "-": stdin
  std::vector<std::string> exact_files;  // --binary-file: with their last newline
  std::string stdin_separator = "\n";    // between stdin and the rest
  bool lossy_utf8 = false;               // U+FFFD for what is not UTF-8
  std::optional<std::string> system;     // --system
  std::string system_file;               // --system-file
  bool no_stdin = false;
  bool escapes = false;  // -e: \n and the like in -p
  PromptStyle style = PromptStyle::by_kind;
  TemplateOptions chat_template;
  Truncate truncate = Truncate::refuse;
  bool print = false;  // --print-prompt
};

// Parts of the sampler's options that only a tokenizer can resolve, as they were typed.
struct SamplerTexts {
  std::vector<std::string> logit_bias;      // "15043+1", "15043-inf"
  std::vector<std::string> logit_bias_str;  // "Hello=-2": each token of the text
  std::vector<std::string> dry_breakers = {"\n", ":", "\"", "*"};
};

struct OutputOptions {
  OutputFormat format = OutputFormat::text;
  std::string file;  // -o; empty: stdout
  bool stream = false;
  bool special = false;  // special tokens too
  bool echo = false;     // the prompt first
  Reasoning reasoning = Reasoning::to_stdout;
};

struct TraceOptions {
  std::string file;  // --trace; empty: none
  TraceFilter filter;
};

struct Options : ModelOptions {
  PromptOptions prompt;
  OutputOptions output;
  TraceOptions trace;
  SamplerOptions sampler;
  SamplerTexts sampler_texts;
  std::optional<std::uint64_t> seed;  // none: random
  int n_predict = -1;
  int batch = 2048;  // tokens of a prompt between two questions whether to stop
  int n_samples = 1;
  std::optional<int> n_logprobs;
  std::vector<std::string> stop;
  bool keep_stop = false;
  bool ignore_eos = false;
  bool deterministic = false;   // the same bytes whatever `batch` and `ubatch` are
  double timeout_s = 0;         // 0: none
  bool fail_on_length = false;  // exit code 10 when -n or the context cut a text
  bool plan = false;
  bool verbose = false;
  bool quiet = false;
  bool stats = true;
  std::vector<std::string> warnings;
  std::vector<Setting> settings;

  // Whether the option, e.g. "--temp", was set by the user in any way.
  bool is_set(std::string_view name) const;
};

// Of Options only what makes sense for one turn after the other.
struct ChatOptions {
  Options run;
  std::string history;  // file that keeps the lines typed; empty: none
};

struct InfoOptions {
  std::string model;
  bool json = false, tensors = false, metadata = false;
};

struct TokenizeOptions {
  std::string model;
  PromptOptions prompt;
  bool ids_only = false, show_count = false, json = false;
  bool add_special = true, parse_special = true;
};

struct DetokenizeOptions {
  std::string model;
  std::vector<std::string> ids;  // as typed; none: stdin
  std::string file;
  bool special = false;
};

struct DiagnoseOptions : ModelOptions {
  // More than 16 tokens: a GPU multiplies as many as that in another way than fewer.
  std::string prompt =
      "The quick brown fox jumps over the lazy dog. Pack my box with five dozen liquor jugs.";
  int n_decode = 8;
  std::string against;  // "cpu", a trace or a model file; empty: nothing
  std::string report;   // HTML file; empty: none
  // Whose attention the report draws; empty: the first, the one in the middle and the last.
  IndexSet report_layers, report_heads;
  bool json = false;
};

struct DevicesOptions {
  bool json = false;
  bool system_info = false;  // how the program was built, first
};

enum class BenchFormat { md, csv, json, jsonl };

struct BenchOptions : ModelOptions {
  std::vector<int> n_prompt, n_gen, n_depth;    // each a test of its own
  std::vector<std::pair<int, int>> prompt_gen;  // -pg
  int n_repetitions = 5;
  int batch = 2048;  // as Options::batch
  bool warm_up = true;
  BenchFormat format = BenchFormat::md;
  std::optional<std::string> e2e;    // measure from this text
  std::string e2e_file;              // or from a file's
  std::string baseline;              // an earlier run's JSON; empty: none
  std::optional<double> fail_below;  // % of the baseline
  std::string plot;                  // SVG to write; empty: none
  bool progress = false;
};

// Something to print on stdout: --help, --version, --man, completions.
struct PrintText {
  std::string text;
};

using Request = std::variant<Options,
                             ChatOptions,
                             InfoOptions,
                             TokenizeOptions,
                             DetokenizeOptions,
                             DevicesOptions,
                             DiagnoseOptions,
                             BenchOptions,
                             PrintText>;

// Throws Error(usage), and Error(io) for a configuration file that was named and cannot be read.
Request parse_options(int argc, const char* const* argv);

}  // namespace haikuda
