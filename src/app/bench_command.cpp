#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include "app/bench/bench_baseline.h"
#include "app/bench/bench_plot.h"
#include "app/bench/bench_report.h"
#include "app/check_vocabulary.h"
#include "app/commands.h"
#include "app/device.h"
#include "app/find_model.h"
#include "app/model_facts.h"
#include "app/prompt.h"
#include "app/statistics.h"
#include "app/text_sink.h"
#include "app/version.h"
#include "app/terminal.h"
#include "base/printable.h"
#include "base/thread_pool.h"
#include "cpu/cpu_backend.h"
#include "cpu/read_bandwidth.h"
#include "cuda/cuda_backend.h"
#include "infer/kv_layout.h"

namespace haikuda {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kGreedyTokens = 32;  // that the hash covers
constexpr int kWarmFirstTokens = 3;

void note(const std::string& message) {
  tell(fmt::format("haikuda: note: {}\n", message));
}

std::string cpu_name() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("model name"))
      if (const std::size_t at = line.find(": "); at != std::string::npos)
        return line.substr(at + 2);
  return "unknown";
}

std::optional<std::string> e2e_text(const BenchOptions& options) {
  if (options.e2e) return options.e2e;
  if (options.e2e_file.empty()) return std::nullopt;
  std::string text = read_input(options.e2e_file, "text");
  if (text.ends_with('\n')) text.pop_back();
  return text;
}

int tokens_in(const std::optional<std::string>& text, const Tokenizer& tokenizer) {
  if (!text) return 0;
  const auto ids = tokenizer.encode(*text, {.add_special = true, .parse_special = true});
  if (ids.empty()) throw Error(ExitCode::usage, "bench: the text of --e2e has no tokens");
  return static_cast<int>(ids.size());
}

int context_needed(const std::vector<BenchTest>& tests) {
  int n = BenchRunner::kGreedyPrompt + kGreedyTokens;
  for (const BenchTest& test : tests) n = std::max(n, test.n_positions());
  return n;
}

// Tokens of a prompt that a run of the program hands over at once.
int prefill_part(const BenchOptions& options, const Placement& placement) {
  return placement.cuda_device ? options.batch : std::min(options.batch, kCpuChunk);
}

int chunk_of(const BenchOptions& options, const Placement& placement) {
  if (options.ubatch > 0) return options.ubatch;
  return placement.cuda_device ? kCudaChunk : kCpuChunk;
}

// The first prompt that the tests have, or a single token.
BenchTest first_prompt(const std::vector<BenchTest>& tests) {
  const auto at = std::find_if(tests.begin(), tests.end(),
                               [](const BenchTest& test) { return test.n_prompt > 0; });
  if (at == tests.end()) return {.n_prompt = 1};
  return {.n_prompt = at->n_prompt, .e2e = at->e2e};
}

// The times that exist once. The first prompt is computed by a backend that has done nothing yet.
void measure_first_tokens(BenchFacts& facts, BenchRunner& runner, const BenchTest& first) {
  facts.ttft_prompt = first.n_prompt;
  facts.ttft_cold_s = facts.load_s + runner.run_once(first).first_token_s;
  std::vector<double> warm_s(kWarmFirstTokens);
  for (double& seconds : warm_s) seconds = runner.run_once(first).first_token_s;
  facts.ttft_warm_s = median(warm_s);
}

// After loading, whose time is not to include what is measured and asked here.
void add_device_facts(BenchFacts& facts, const BenchOptions& options, const Placement& placement) {
  facts.cpu_info = cpu_name();
  facts.on_gpu = placement.cuda_device.has_value();
  facts.kv_elem_bytes = placement.kv_elem_bytes();
  facts.n_ubatch = chunk_of(options, placement);
  facts.n_batch = prefill_part(options, placement);
  if (facts.on_gpu) {
    facts.gpu_index = *placement.cuda_device;
    facts.gpu_info = placement.gpu_name;
    facts.read_bytes_per_s = measure_cuda_read_bandwidth(facts.gpu_index);
    facts.n_threads = options.n_threads > 0 ? options.n_threads : usable_processors();
  } else {
    const CpuReadBandwidth cpu = measure_cpu_read_bandwidth(options.n_threads);
    facts.read_bytes_per_s = cpu.bytes_per_s;
    facts.n_threads = cpu.n_threads;
  }
}

void add_model_facts(BenchFacts& facts, const Model& model) {
  const ModelFacts header = model_facts(model.files);
  facts.version = kVersion;
  facts.model_file = header.file;
  facts.model_type = model.description();
  facts.model_bytes = header.weight_bytes;
  facts.n_params = header.n_params;
}

std::optional<Baseline> read_baseline(const BenchOptions& options) {
  if (options.baseline.empty()) return std::nullopt;
  return parse_baseline(options.baseline, read_input(options.baseline, "baseline"));
}

void note_other_tokens(const Baseline& baseline, const BenchFacts& facts) {
  const std::string hash = token_hash(facts.greedy_tokens);
  if (baseline.greedy_hash.empty() || baseline.greedy_hash == hash) return;
  note(
      fmt::format("the greedy tokens are not the baseline's: {}, they were {}; the same model on "
                  "the same device computes something else",
                  hash, printable(baseline.greedy_hash)));
}

std::vector<BenchRow> measure_all(BenchRunner& runner,
                                  const std::vector<BenchTest>& tests,
                                  const Model& model,
                                  const BenchFacts& facts,
                                  const BenchOptions& options) {
  std::vector<BenchRow> rows;
  for (const BenchTest& test : tests) {
    if (options.progress)
      tell(fmt::format("haikuda: {} of {}: {}\n", rows.size() + 1, tests.size(), test_name(test)));
    const BenchResult result = runner.measure(test, options.n_repetitions, options.warm_up);
    rows.push_back(make_row(
        result,
        bench_cost(model, test, std::min(facts.n_ubatch, facts.n_batch), facts.kv_elem_bytes),
        test.n_gen > 0 ? bytes_per_token(model, test, facts.kv_elem_bytes) : 0));
  }
  return rows;
}

std::string printed(BenchFormat format,
                    const BenchFacts& facts,
                    const std::vector<BenchRow>& rows,
                    bool ascii) {
  switch (format) {
    case BenchFormat::csv:
      return bench_csv(facts, rows);
    case BenchFormat::json:
      return bench_json(facts, rows, ascii);
    case BenchFormat::jsonl:
      return bench_jsonl(facts, rows, ascii);
    case BenchFormat::md:
      break;
  }
  return bench_markdown(facts, rows);
}

void write_results(const BenchOptions& options,
                   const BenchFacts& facts,
                   const std::vector<BenchRow>& rows) {
  TextSink sink;
  sink.write(printed(options.format, facts, rows, sink.is_terminal()));
  sink.finish();
  if (options.plot.empty()) return;
  TextSink plot(options.plot);
  plot.write(bench_plot(facts, rows));
  plot.finish();
}

}  // namespace

ExitCode run_bench(const BenchOptions& options, Process& process) {
  const std::optional<std::string> text = e2e_text(options);
  const std::optional<Baseline> baseline = read_baseline(options);
  const auto start = Clock::now();
  process.start_device(options.device);
  const Model& model = process.keep(std::make_unique<Model>(open_model(options)));
  const auto tokenizer = Tokenizer::create(model.files.metadata);
  check_vocabulary(model, *tokenizer);
  const std::vector<BenchTest> tests = list_tests(options, tokens_in(text, *tokenizer));
  ModelOptions sized = options;
  sized.n_ctx = context_needed(tests);
  const Placement placement = place_model(model, sized, process);
  if (!placement.note.empty()) note(placement.note);
  check_fits(placement);
  Backend& backend = process.keep(
      make_backend(model, sized, placement, process, {first_prompt(tests).n_prompt, true}));

  BenchFacts facts;
  facts.load_s = std::chrono::duration<double>(Clock::now() - start).count();
  facts.n_ctx = backend.n_ctx();
  facts.kv_bytes = KvLayout(model.config, facts.n_ctx).total_elems() *
                   static_cast<std::size_t>(placement.kv_elem_bytes());
  facts.device_bytes = backend.device_bytes();
  BenchRunner runner(backend, *tokenizer, prefill_part(options, placement), text.value_or(""));
  measure_first_tokens(facts, runner, first_prompt(tests));
  facts.greedy_tokens = runner.greedy_tokens(kGreedyTokens);
  add_model_facts(facts, model);
  add_device_facts(facts, options, placement);
  if (baseline) {
    check_comparable(*baseline, facts, tests);
    note_other_tokens(*baseline, facts);
  }
  std::vector<BenchRow> rows = measure_all(runner, tests, model, facts, options);
  if (baseline) compare(*baseline, rows);
  write_results(options, facts, rows);
  if (options.fail_below) check_speed(rows, *options.fail_below);
  return ExitCode::ok;
}

}  // namespace haikuda
