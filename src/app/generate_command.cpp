#include <unistd.h>

#include <cstdio>
#include <memory>

#include <fmt/format.h>

#include "app/answer_writer.h"
#include "app/commands.h"
#include "app/find_model.h"
#include "app/plan.h"
#include "app/prompt.h"
#include "app/result_record.h"
#include "app/run_report.h"
#include "app/run_setup.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "app/version.h"
#include "base/printable.h"
#include "inspect/trace_recorder.h"

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
  tell(fmt::format("{}\n", ::isatty(STDERR_FILENO) == 1 ? for_terminal(text) : text));
}

struct PromptTokens {
  std::vector<int> tokens;
  std::string text;  // as the model sees it

  int size() const { return static_cast<int>(tokens.size()); }
};

// Models whose tokenizer adds it would see two.
void note_written_bos(const RenderedPrompt& prompt,
                      const Options& options,
                      const Tokenizer& tokenizer) {
  const std::optional<int> bos = tokenizer.vocabulary().bos();
  if (prompt.is_chat || !bos) return;
  const std::vector<int> added = tokenizer.encode("");
  if (added.empty() || added.front() != *bos) return;
  const std::string_view text = tokenizer.vocabulary().text(*bos);
  if (prompt.text().starts_with(text))
    note(options, fmt::format("the prompt begins with {}, so none is added", printable(text)));
}

// Whoever types a text to complete may have meant a request.
void note_unused_template(const RenderedPrompt& prompt,
                          const Options& options,
                          const Metadata& metadata) {
  if (prompt.is_chat || options.prompt.style != PromptStyle::by_kind || options.plan) return;
  const bool is_watched = ::isatty(STDOUT_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1;
  if (is_watched && metadata.contains("tokenizer.chat_template"))
    note(options,
         "the text is completed as it stands; --chat puts it through the model's chat template");
}

// A prompt of whatever length.
struct WholePrompt {
  RenderedPrompt rendered;
  std::vector<int> tokens;
};

WholePrompt tokenize_whole(const Prompt& prompt,
                           const Options& options,
                           const Model& model,
                           const Tokenizer& tokenizer) {
  RenderedPrompt rendered = render_prompt(prompt, options.prompt, model.files.metadata, tokenizer);
  std::vector<int> tokens = tokenize_prompt(rendered, tokenizer);
  return {std::move(rendered), std::move(tokens)};
}

// The prompt cut to what the context holds, where that is wanted.
PromptTokens cut_prompt(WholePrompt&& whole,
                        const Prompt& prompt,
                        const Options& options,
                        const Model& model,
                        const Tokenizer& tokenizer,
                        int n_ctx) {
  auto& [rendered, tokens] = whole;
  const int n_all = static_cast<int>(tokens.size());
  if (options.prompt.truncate != Truncate::refuse && n_all > n_ctx) {
    TruncatedPrompt cut = truncate_prompt(prompt, options.prompt, model.files.metadata, tokenizer,
                                          truncated_size(options, n_ctx));
    rendered = std::move(cut.rendered);
    tokens = std::move(cut.tokens);
    note(options, fmt::format("the prompt of {} tokens was cut to {}; the context holds {}", n_all,
                              tokens.size(), n_ctx));
  }
  note_written_bos(rendered, options, tokenizer);
  note_unused_template(rendered, options, model.files.metadata);
  std::string text = rendered.text();
  if (options.prompt.print) print_prompt(text);
  return {std::move(tokens), std::move(text)};
}

// A GPU's last bits depend on how a prompt is cut, so --deterministic cuts it always the same way.
// Those of the CPU do not.
void fix_chunks(Options& options, const Placement& placement) {
  if (!options.deterministic || !placement.cuda_device) return;
  options.batch = Options{}.batch;
  options.ubatch = Options{}.ubatch;
}

// --- The run ---

// What a sample's record will hold.
struct SampleText {
  std::string all;
  std::size_t n_sent = 0;  // bytes that token events carried
  std::vector<int> tokens;
};

struct Run {
  const Options& options;
  const Tokenizer& tokenizer;
  const RunFacts& facts;
  TextSink& sink;
  const PromptTokens& prompt;
  GenerateOptions generation;  // of the sample
  Timeline& timeline;
  int sample = 0;
  SampleText text;
  bool was_cut = false;  // a sample, by -n or the context
};

GenerateHooks make_hooks(Run& run, AnswerWriter& answer) {
  const OutputFormat format = run.options.output.format;
  GenerateHooks hooks;
  hooks.on_text = [&run, &answer, format](std::string_view piece) {
    if (format == OutputFormat::text)
      answer.write(piece);
    else
      run.text.all += piece;
  };
  hooks.should_stop = stop_question(run.sink);
  if (format != OutputFormat::text)
    hooks.on_token = [&run, format](const TokenEvent& event) {
      run.text.tokens.push_back(event.id);
      if (format != OutputFormat::jsonl) return;
      run.text.n_sent += event.text.size();
      run.sink.write(token_line(run.sample, event, run.tokenizer, run.sink.is_terminal()));
    };
  return hooks;
}

void write_record(Run& run,
                  const GenerateResult& result,
                  const std::string& reason,
                  const Error* error = nullptr) {
  const bool has_events = run.options.output.format == OutputFormat::jsonl;
  const bool ascii = run.sink.is_terminal();
  const SampleText& text = run.text;
  if (has_events && text.n_sent < text.all.size())
    run.sink.write(rest_line(run.sample, text.all.substr(text.n_sent), ascii));
  run.sink.write(result_line(run.facts,
                             {run.sample, run.generation.sampler, result, reason, text.all, error},
                             run.tokenizer, has_events, ascii));
}

void add_tokens(Timeline& timeline,
                Timeline::Clock::time_point start,
                const GenerateResult& result) {
  if (result.token_s.empty()) return;
  const auto after = [&](double seconds) {
    return start + std::chrono::duration_cast<Timeline::Clock::duration>(
                       std::chrono::duration<double>(seconds));
  };
  timeline.add("first token", start, after(result.token_s.front()));
  timeline.add("other tokens", after(result.token_s.front()), after(result.token_s.back()));
}

// No generator: it was interrupted before there was anything to sample. False when it was
// interrupted.
bool generate_sample(Run& run, Generator* generator) {
  const bool as_text = run.options.output.format == OutputFormat::text;
  run.text = {};
  if (run.options.output.echo) run.sink.write(run.prompt.text);
  GenerateResult result;
  result.n_prompt = run.prompt.size();
  result.reason = FinishReason::interrupted;
  const auto start = Timeline::Clock::now();
  AnswerWriter answer(run.sink, run.options.output.reasoning, opens_reasoning(run.prompt.text));
  if (generator != nullptr) result = generator->run(run.generation, make_hooks(run, answer));
  answer.finish();
  if (run.sample == 0) add_tokens(run.timeline, start, result);
  run.was_cut |= result.reason == FinishReason::length || result.reason == FinishReason::context;
  const std::string reason = reason_name(result.reason);
  if (!as_text) write_record(run, result, reason);
  if (as_text && run.options.n_samples > 1) run.sink.write("\n");
  run.sink.end_line_on_terminal();
  if (result.reason == FinishReason::context)
    note(run.options,
         fmt::format("the context of {} tokens is full, so the text ends; -c sets its size",
                     run.facts.n_ctx));
  if (run.options.stats) print_stats(result, run.facts, reason, run.generation.sampler);
  return result.reason != FinishReason::interrupted;
}

// False when it was interrupted.
bool generate_samples(Run& run, Backend& backend) {
  Generator generator(backend, run.tokenizer, run.prompt.tokens);
  const bool ready = [&] {
    const Phase phase(&run.timeline, "prompt");
    return generator.prefill(run.generation.prefill_part, stop_question(run.sink));
  }();
  finish_gently_on_signals();
  bool is_complete = true;
  for (; run.sample < run.options.n_samples && is_complete; ++run.sample) {
    is_complete = generate_sample(run, ready ? &generator : nullptr);
    ++run.generation.sampler.seed;
  }
  run.sink.finish();
  return is_complete;
}

// A failure has a record too, before main reports it.
bool generate_all(Run& run, Backend& backend) {
  try {
    return generate_samples(run, backend);
  } catch (const Error& e) {
    const bool can_write = e.code() != ExitCode::io && e.code() != ExitCode::broken_pipe;
    if (can_write && run.options.output.format != OutputFormat::text) {
      GenerateResult result;
      result.n_prompt = run.prompt.size();
      result.tokens = run.text.tokens;
      write_record(run, result, "error", &e);
      run.sink.finish();
    }
    throw;
  }
}

// Null when none was asked for.
std::unique_ptr<TraceRecorder> make_trace(const TraceOptions& options,
                                          const Model& model,
                                          const Backend& backend,
                                          const std::vector<int>& tokens) {
  if (options.file.empty()) return nullptr;
  return std::make_unique<TraceRecorder>(
      options.file, options.filter, model,
      TraceRun{fmt::format("haikuda {}", kVersion), backend.device_name(), tokens});
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

ExitCode plan_run(const Options& options, Process& process, TextSink& sink) {
  const Model model(open_model(options));
  const Placement placement = place_model(model, options, process);
  std::optional<int> n_prompt;
  if (has_prompt(options.prompt)) {
    const auto tokenizer = Tokenizer::create(model.files.metadata);
    const Prompt prompt = gather_prompt(options.prompt);
    WholePrompt whole = tokenize_whole(prompt, options, model, *tokenizer);
    n_prompt =
        cut_prompt(std::move(whole), prompt, options, model, *tokenizer, placement.n_ctx).size();
  }
  return print_plan(options, model, placement, n_prompt, sink);
}

}  // namespace

// While a GPU's context is still being created, all that does not need it is done.
ExitCode run_generate(Options options, Process& process) {
  install_signal_handlers();
  start_timeout(options.timeout_s);
  print_warnings(options);
  TextSink sink(options.output.file, options.output.stream);
  process.start_device(options.device);
  if (options.plan) return plan_run(options, process, sink);
  const Prompt prompt = gather_prompt(options.prompt);

  OpenedModel& opened = process.keep(std::make_unique<OpenedModel>(options, process));
  WholePrompt whole = tokenize_whole(prompt, options, opened.model, *opened.tokenizer);
  opened.place(options, process);
  fix_chunks(options, opened.placement);
  const int n_ctx = opened.placement.n_ctx;
  const PromptTokens tokens =
      cut_prompt(std::move(whole), prompt, options, opened.model, *opened.tokenizer, n_ctx);
  check_prompt_fits(tokens.size(), n_ctx);
  if (!options.trace.file.empty()) check_filter(options.trace.filter, opened.model.config);
  const LoadedModel& loaded = process.keep(
      std::make_unique<LoadedModel>(load_model(opened, options, process, tokens.size())));
  Run run{options,
          *opened.tokenizer,
          loaded.facts,
          sink,
          tokens,
          generate_options(options, loaded.facts),
          process.timeline(),
          0,
          {},
          false};
  const auto trace = make_trace(options.trace, opened.model, *loaded.backend, tokens.tokens);
  loaded.backend->set_probe(trace.get());
  check_unchanged(opened.model.files);
  const bool is_complete = generate_all(run, *loaded.backend);
  // A GPU has its own copy.
  if (!run.facts.on_gpu) check_unchanged(opened.model.files);
  if (trace) trace->finish();
  if (options.verbose) print_timeline(process.timeline());
  if (is_complete && options.fail_on_length && run.was_cut)
    throw Error(ExitCode::check_failed,
                "a text was cut by -n or the context, which --fail-on-length does not allow");
  return is_complete ? ExitCode::ok : stop_requested().value_or(ExitCode::ok);
}

}  // namespace haikuda
