#include <algorithm>
#include <charconv>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "app/option_groups.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr int kLargestCount = 1 << 20;
constexpr std::size_t kMostCounts = 1000;

[[noreturn]] void fail(const char* option, const std::string& text, const std::string& why) {
  throw Error(ExitCode::usage, fmt::format("{}: '{}' {}", option, printable(text), why));
}

int parse_count(const char* option, const std::string& all, std::string_view text) {
  int n = 0;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, n);
  if (error != std::errc{} || end != last || n < 0 || n > kLargestCount)
    fail(option, all,
         fmt::format("is no number from 0 to {}, list of such (16,32) or range (0-64+16, "
                     "1-64*2)",
                     kLargestCount));
  return n;
}

// "5", "0-64+16", "1-64*2" or "1-4".
void add_range(std::vector<int>& out,
               const char* option,
               const std::string& all,
               std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    out.push_back(parse_count(option, all, text));
    return;
  }
  const std::size_t step_at = text.find_first_of("+*", dash);
  const bool is_factor = step_at != std::string_view::npos && text[step_at] == '*';
  const int first = parse_count(option, all, text.substr(0, dash));
  const int last = parse_count(option, all, text.substr(dash + 1, step_at - dash - 1));
  const int step =
      step_at == std::string_view::npos ? 1 : parse_count(option, all, text.substr(step_at + 1));
  if (last < first || step < (is_factor ? 2 : 1) || (is_factor && first == 0))
    fail(option, all, "is a range that never ends");
  for (std::int64_t n = first; n <= last && out.size() <= kMostCounts;
       n = is_factor ? n * step : n + step)
    out.push_back(static_cast<int>(n));
}

std::vector<int> parse_counts(const char* option,
                              const std::vector<std::string>& texts,
                              int fallback) {
  if (texts.empty()) return {fallback};
  std::vector<int> out;
  for (const std::string& text : texts)
    for (std::size_t begin = 0; begin <= text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      add_range(out, option, text, std::string_view(text).substr(begin, end - begin));
      begin = end + 1;
    }
  if (out.size() > kMostCounts)
    fail(option, texts.front(), fmt::format("are more than {} numbers", kMostCounts));
  return out;
}

std::pair<int, int> parse_pair(const std::string& text) {
  const std::size_t comma = text.find(',');
  if (comma == std::string::npos) fail("-pg", text, "is no pair P,N");
  return {parse_count("-pg", text, std::string_view(text).substr(0, comma)),
          parse_count("-pg", text, std::string_view(text).substr(comma + 1))};
}

void add_counts(CLI::App& app,
                const char* names,
                std::vector<std::string>& values,
                const char* what) {
  app.add_option(names, values, what)->type_name("N,N")->take_all()->allow_extra_args(false);
}

void add_test_options(CLI::App& app, RawOptions& raw) {
  app.option_defaults()->group("Tests");
  add_counts(app, "-p,--n-prompt", raw.n_prompt,
             "Tokens of prompts, 0 for none; lists and ranges as 0-64+16, 1-64*2 [512]");
  add_counts(app, "-n,--n-gen", raw.n_gen, "Tokens to generate, in the same way [128]");
  app.add_option("--prompt-gen", raw.prompt_gen,
                 "-pg: a prompt and a generation as one test; repeatable")
      ->type_name("P,N")
      ->take_all()
      ->allow_extra_args(false);
  add_counts(app, "-d,--n-depth", raw.n_depth, "Tokens in the context before each test [0]");
  app.add_option("--e2e", raw.prompt, "Instead: from a text, tokenization included, as it stands")
      ->type_name("TEXT");
  app.add_option("-f,--file", raw.bench.e2e_file, "The same from FILE; '-': stdin")
      ->type_name("FILE");
  app.add_option("-r,--repetitions", raw.bench.n_repetitions, "Measurements of each test")
      ->type_name("N")
      ->check(number_in(1, 10000))
      ->capture_default_str();
  app.add_flag("--no-warmup", raw.no_warm_up, "Measure at once, not when times have settled");
}

}  // namespace

void add_bench_options(CLI::App& app, RawOptions& raw) {
  add_model_option(app, raw.options.model);
  app.option_defaults()->group("Model");
  add_device_options(app, raw);
  add_chunk_options(app, raw);
  add_hidden_device_options(app, raw);
  add_test_options(app, raw);
  app.option_defaults()->group("Output");
  app.add_option("-o,--format", raw.bench_format, "How to print the rows")
      ->type_name("md|csv|json|jsonl")
      ->check(one_of({"md", "csv", "json", "jsonl"}))
      ->capture_default_str();
  app.add_option("--baseline", raw.bench.baseline, "Compare with FILE, which -o json wrote earlier")
      ->type_name("FILE");
  app.add_option("--fail-below", raw.fail_below,
                 "Exit with 10 when a row has less than PCT % of the baseline's speed")
      ->type_name("PCT")
      ->check(number_in(0, 1e6));
  app.add_option("--plot", raw.bench.plot, "Draw speed by depth and a roofline into FILE, an SVG")
      ->type_name("FILE");
  app.add_flag("--progress", raw.bench.progress, "Say on stderr which test runs");
}

BenchOptions resolve_bench(const CLI::App& app, RawOptions& raw) {
  BenchOptions& b = raw.bench;
  static_cast<ModelOptions&>(b) = raw.options;
  b.batch = raw.options.batch;
  b.n_prompt = parse_counts("-p", raw.n_prompt, 512);
  b.n_gen = parse_counts("-n", raw.n_gen, 128);
  b.n_depth = parse_counts("-d", raw.n_depth, 0);
  for (const std::string& text : raw.prompt_gen) b.prompt_gen.push_back(parse_pair(text));
  if (app.count("--e2e") > 0) b.e2e = raw.prompt;
  const bool from_text = b.e2e || !b.e2e_file.empty();
  if (b.e2e && !b.e2e_file.empty())
    throw Error(ExitCode::usage, "give --e2e TEXT or -f FILE, not both");
  if (from_text && !(raw.n_prompt.empty() && raw.n_depth.empty() && raw.prompt_gen.empty()))
    throw Error(ExitCode::usage, "--e2e and -f exclude -p, -d and -pg: the text is the prompt");
  b.warm_up = !raw.no_warm_up;
  if (app.count("--fail-below") > 0) {
    if (b.baseline.empty()) throw Error(ExitCode::usage, "--fail-below needs --baseline FILE");
    b.fail_below = raw.fail_below;
  }
  b.format = raw.bench_format == "csv"     ? BenchFormat::csv
             : raw.bench_format == "json"  ? BenchFormat::json
             : raw.bench_format == "jsonl" ? BenchFormat::jsonl
                                           : BenchFormat::md;
  return std::move(raw.bench);
}

}  // namespace haikuda
