#include <unistd.h>

#include <cstdio>

#include <fmt/format.h>

#include "app/commands.h"
#include "app/find_model.h"
#include "app/plan.h"
#include "app/prompt.h"
#include "app/result_record.h"
#include "app/run_report.h"
#include "app/run_setup.h"
#include "app/signals.h"
#include "app/terminal.h"

namespace haikuda {
namespace {

// --- The prompt's tokens ---

void check_prompt_fits(int n_prompt, int n_ctx) {
  if (n_prompt > n_ctx)
    throw Error(
        ExitCode::prompt_too_long,
        fmt::format(
            "the prompt has {} tokens, the context holds {}; raise -c, shorten the prompt or use "
            "--truncate head|middle",
            n_prompt, n_ctx));
}

// A truncated prompt leaves a quarter of the context for the answer, or as much as -n asks for.
int truncated_size(const Options& options, int n_ctx) {
  const int quarter = n_ctx / 4;
  const int room = options.n_predict < 0 ? quarter : std::min(options.n_predict, quarter);
  return std::max(1, n_ctx - room);
}

void print_prompt(const std::string& text) {
  fmt::print(stderr, "{}\n", ::isatty(STDERR_FILENO) == 1 ? for_terminal(text) : text);
}

std::vector<int> prompt_tokens(const Prompt& prompt,
                               const Options& options,
                               const Model& model,
                               const Tokenizer& tokenizer,
                               int n_ctx) {
  const Metadata& metadata = model.files.metadata;
  RenderedPrompt rendered = render_prompt(prompt, options.prompt, metadata, tokenizer);
  std::vector<int> tokens = tokenize_prompt(rendered, tokenizer);
  const int n_all = static_cast<int>(tokens.size());
  if (options.prompt.truncate != Truncate::refuse && n_all > n_ctx) {
    TruncatedPrompt cut = truncate_prompt(prompt, options.prompt, metadata, tokenizer,
                                          truncated_size(options, n_ctx));
    rendered = std::move(cut.rendered);
    tokens = std::move(cut.tokens);
    note(options, fmt::format("the prompt of {} tokens was cut to {}; the context holds {}", n_all,
                              tokens.size(), n_ctx));
  }
  if (options.prompt.print) print_prompt(rendered.text());
  return tokens;
}

// --- The run ---

struct Run {
  const Options& options;
  const Tokenizer& tokenizer;
  const RunFacts& facts;
  TextSink& sink;
};

// The text of a sample whose record will hold it.
struct SampleText {
  std::string all;
  std::size_t n_sent = 0;  // bytes that token events carried
};

GenerateHooks make_hooks(Run& run, int sample, SampleText& text) {
  const OutputFormat format = run.options.output.format;
  GenerateHooks hooks;
  hooks.on_text = [&run, &text, format](std::string_view piece) {
    if (format == OutputFormat::text)
      run.sink.write(piece);
    else
      text.all += piece;
  };
  hooks.should_stop = stop_question(run.sink);
  if (format == OutputFormat::jsonl)
    hooks.on_token = [&run, &text, sample](const TokenEvent& event) {
      text.n_sent += event.text.size();
      run.sink.write(token_line(sample, event, run.tokenizer, run.sink.is_terminal()));
    };
  return hooks;
}

void finish_sample(Run& run, const SampleFacts& sample) {
  const OutputOptions& output = run.options.output;
  if (output.format == OutputFormat::text) {
    if (run.options.n_samples > 1) run.sink.write("\n");
  } else {
    run.sink.write(result_line(run.facts, sample, run.tokenizer,
                               output.format == OutputFormat::jsonl, run.sink.is_terminal()));
  }
  if (run.options.stats)
    print_stats(sample.result, run.facts, sample.finish_reason, sample.sampler);
}

// No generator: it was interrupted before there was anything to sample. False when it was
// interrupted.
bool generate_sample(
    Run& run, Generator* generator, const GenerateOptions& generation, int n_prompt, int sample) {
  SampleText text;
  GenerateResult result;
  result.n_prompt = n_prompt;
  result.reason = FinishReason::interrupted;
  if (generator != nullptr) result = generator->run(generation, make_hooks(run, sample, text));
  if (run.options.output.format == OutputFormat::jsonl && text.n_sent < text.all.size())
    run.sink.write(rest_line(sample, text.all.substr(text.n_sent), run.sink.is_terminal()));
  finish_sample(run, {sample, generation.sampler, result, reason_name(result.reason), text.all});
  return result.reason != FinishReason::interrupted;
}

// False when it was interrupted.
bool generate_all(Run& run, Backend& backend, std::span<const int> tokens) {
  const Options& o = run.options;
  GenerateOptions generation = generate_options(o, run.facts);
  Generator generator(backend, run.tokenizer, tokens);
  const bool ready = generator.prefill(generation.prefill_part, stop_question(run.sink));
  finish_gently_on_signals();
  bool is_complete = true;
  for (int sample = 0; sample < o.n_samples && is_complete; ++sample) {
    is_complete = generate_sample(run, ready ? &generator : nullptr, generation,
                                  static_cast<int>(tokens.size()), sample);
    ++generation.sampler.seed;
  }
  run.sink.finish();
  return is_complete;
}

ExitCode print_plan(const Options& options,
                    const Model& model,
                    const Placement& placement,
                    std::optional<int> n_prompt,
                    TextSink& sink) {
  const Plan plan = make_plan(model, options, placement, n_prompt);
  sink.write(options.output.format == OutputFormat::text ? plan_text(plan) : plan_json(plan));
  sink.finish();
  if (!placement.fits()) return ExitCode::out_of_memory;
  return n_prompt && *n_prompt > placement.n_ctx ? ExitCode::prompt_too_long : ExitCode::ok;
}

ExitCode plan_run(const Options& options, TextSink& sink) {
  const Model model(open_model(options.model));
  const Placement placement = place_model(model, options);
  std::optional<int> n_prompt;
  if (has_prompt(options.prompt)) {
    const auto tokenizer = Tokenizer::create(model.files.metadata);
    const Prompt prompt = gather_prompt(options.prompt);
    n_prompt =
        static_cast<int>(prompt_tokens(prompt, options, model, *tokenizer, placement.n_ctx).size());
  }
  return print_plan(options, model, placement, n_prompt, sink);
}

}  // namespace

ExitCode run_generate(Options options) {
  install_signal_handlers();
  start_timeout(options.timeout_s);
  print_warnings(options);
  TextSink sink(options.output.file, options.output.stream);
  if (options.plan) return plan_run(options, sink);
  const Prompt prompt = gather_prompt(options.prompt);

  const OpenedModel opened(options);
  const int n_ctx = opened.placement.n_ctx;
  const std::vector<int> tokens =
      prompt_tokens(prompt, options, opened.model, *opened.tokenizer, n_ctx);
  check_prompt_fits(static_cast<int>(tokens.size()), n_ctx);
  const LoadedModel loaded = load_model(opened, options);
  Run run{options, *opened.tokenizer, loaded.facts, sink};
  const bool is_complete = generate_all(run, *loaded.backend, tokens);
  return is_complete ? ExitCode::ok : stop_requested().value_or(ExitCode::ok);
}

}  // namespace haikuda
