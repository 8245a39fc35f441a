#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <random>

#include <fmt/format.h>

#include "app/commands.h"
#include "app/device.h"
#include "app/find_model.h"
#include "app/load_progress.h"
#include "app/model_sampling.h"
#include "app/plan.h"
#include "app/prompt.h"
#include "app/result_record.h"
#include "app/sampler_texts.h"
#include "app/signals.h"
#include "app/terminal.h"
#include "app/text_sink.h"
#include "base/printable.h"
#include "cpu/cpu_backend.h"
#include "infer/generator.h"
#include "model/model.h"

namespace haikuda {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t random_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 31 ^ device()) & 0x7fffffffffffffffu;
}

double rate(int n, double seconds) {
  return seconds > 0 ? n / seconds : 0;
}

void note(const Options& options, const std::string& message) {
  if (!options.quiet) tell(fmt::format("haikuda: note: {}\n", message));
}

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

// A GPU's last bits depend on how a prompt is cut, so --deterministic cuts it always the same way.
// Those of the CPU do not.
void fix_chunks(Options& options, const Placement& placement) {
  if (!options.deterministic || !placement.cuda_device) return;
  options.batch = Options{}.batch;
  options.ubatch = Options{}.ubatch;
}

// --- stderr ---

void print_stats(const GenerateResult& r,
                 const RunFacts& run,
                 const std::string& reason,
                 const SamplerOptions& sampler) {
  const std::string seed = sampler.greedy() ? "greedy" : fmt::format("seed {}", sampler.seed);
  tell(fmt::format(
      "haikuda: load {:.2f} s · prompt {} tokens, {:.1f} tokens/s · generated {} tokens, "
      "{:.1f} tokens/s · {} · {} · {}\n",
      run.load_s, r.n_prompt, rate(r.n_prompt, r.prefill_s), r.tokens.size(),
      rate(r.n_decoded, r.decode_s), reason, seed, run.device));
}

void print_settings(const Options& options) {
  for (const Setting& s : options.settings)
    tell(fmt::format("haikuda: {} {} ({})\n", s.name, printable(s.value), printable(s.origin)));
}

void print_model(const Model& model, const Backend& backend) {
  tell(fmt::format("haikuda: model {}, {} of {} tensors mapped, context {}, {:.1f} MiB on {}\n",
                   model.description(), model.weights.n_tensors, model.files.tensors.size(),
                   backend.n_ctx(), static_cast<double>(backend.device_bytes()) / (1 << 20),
                   backend.device_name()));
}

// --- The run ---

struct Run {
  const Options& options;
  const Tokenizer& tokenizer;
  RunFacts facts;
  TextSink& sink;
};

std::string reason_name(FinishReason reason) {
  const bool timed_out =
      reason == FinishReason::interrupted && stop_requested() == ExitCode::timeout;
  return timed_out ? "timeout" : finish_reason_name(reason);
}

std::function<bool()> stop_question(const TextSink& sink) {
  return [&sink] {
    if (sink.reader_is_gone()) throw Error(ExitCode::broken_pipe, "");
    return stop_requested().has_value();
  };
}

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
  GenerateOptions generation{o.n_predict, o.sampler, o.stop, o.ignore_eos, o.n_logprobs, o.batch};
  generation.sampler.seed = o.seed ? *o.seed : random_seed();
  // One chunk a part costs nothing, and a timeout is noticed sooner.
  if (!run.facts.on_gpu) generation.prefill_part = std::min(o.batch, kCpuChunk);
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

void check_vocabulary(const Model& model, const Tokenizer& tokenizer) {
  if (tokenizer.vocabulary().size() != model.config.n_vocab)
    model.files.metadata.fail("tokenizer.ggml.tokens",
                              fmt::format("expected {} tokens (rows of token_embd.weight), got {}",
                                          model.config.n_vocab, tokenizer.vocabulary().size()));
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
  if (!options.quiet)
    for (const std::string& warning : options.warnings)
      tell(fmt::format("haikuda: warning: {}\n", warning));
  TextSink sink(options.output.file, options.output.stream);
  if (options.plan) return plan_run(options, sink);
  const Prompt prompt = gather_prompt(options.prompt);

  const auto start = Clock::now();
  const Model model(open_model(options.model));
  const auto tokenizer = Tokenizer::create(model.files.metadata);
  check_vocabulary(model, *tokenizer);
  apply_model_sampling(options, model.files.metadata);
  resolve_sampler_texts(options, *tokenizer);
  if (options.verbose) print_settings(options);
  const Placement placement = place_model(model, options);
  if (!placement.note.empty()) note(options, placement.note);
  fix_chunks(options, placement);
  const std::vector<int> tokens =
      prompt_tokens(prompt, options, model, *tokenizer, placement.n_ctx);
  check_prompt_fits(static_cast<int>(tokens.size()), placement.n_ctx);
  check_fits(placement);
  if (options.n_ctx > model.config.n_ctx_train)
    note(options, fmt::format("-c {} exceeds the {} tokens the model was trained for",
                              options.n_ctx, model.config.n_ctx_train));

  const auto backend = [&] {
    const LoadProgress progress(model.files.name, !options.quiet);
    return make_backend(model, options, placement);
  }();
  Run run{options, *tokenizer, {}, sink};
  run.facts = {
      model_facts(model.files), backend->device_name(),
      backend->device_bytes(),  placement.cuda_device.has_value(),
      backend->n_ctx(),         std::chrono::duration<double>(Clock::now() - start).count()};
  if (options.verbose) print_model(model, *backend);
  check_unchanged(model.files);
  const bool is_complete = generate_all(run, *backend, tokens);
  // A GPU has its own copy.
  if (!run.facts.on_gpu) check_unchanged(model.files);
  return is_complete ? ExitCode::ok : stop_requested().value_or(ExitCode::ok);
}

}  // namespace haikuda
