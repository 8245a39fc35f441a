#include "app/run_setup.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

#include "app/check_vocabulary.h"
#include "app/find_model.h"
#include "app/load_progress.h"
#include "app/model_sampling.h"
#include "app/plan.h"
#include "app/run_report.h"
#include "app/sampler_texts.h"
#include "app/signals.h"
#include "base/printable.h"
#include "cpu/cpu_backend.h"
#include "inspect/rules.h"

namespace haikuda {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t random_bits() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

// --check-tensors
void check_tensors(const Model& model) {
  Diagnosis diagnosis;
  check_file(model, diagnosis);
  const Verdict* fault = diagnosis.first_fault();
  if (fault != nullptr)
    throw Error(ExitCode::model_file, fmt::format("{}: {}; haikuda diagnose says more",
                                                  printable(model.files.name), fault->cause));
}

}  // namespace

OpenedModel::OpenedModel(Options& options, Process& process)
    : start(Clock::now()), model([&] {
        const Phase phase(&process.timeline(), "model file");
        return Model(open_model(options));
      }()) {
  const Phase phase(&process.timeline(), "tokenizer");
  tokenizer = Tokenizer::create(model.files.metadata);
  check_vocabulary(model, *tokenizer);
  apply_model_sampling(options, model.files.metadata);
  resolve_sampler_texts(options, *tokenizer);
  if (options.output.format != OutputFormat::text)
    header_sha256 = haikuda::header_sha256(model.files);
  if (options.verbose) print_settings(options);
}

void OpenedModel::place(const Options& options, Process& process) {
  placement = place_model(model, options, process);
  if (!placement.note.empty()) note(options, placement.note);
}

LoadedModel load_model(const OpenedModel& opened,
                       const Options& options,
                       Process& process,
                       int n_prompt) {
  const Model& model = opened.model;
  if (!opened.placement.fits())
    throw Error(ExitCode::out_of_memory,
                shortage_text(make_plan(model, options, opened.placement, std::nullopt)));
  if (options.n_ctx > model.config.n_ctx_train)
    note(options, fmt::format("-c {} exceeds the {} tokens the model was trained for",
                              options.n_ctx, model.config.n_ctx_train));
  if (options.check_tensors) check_tensors(model);
  LoadedModel loaded;
  {
    const LoadProgress progress(model.files.name, !options.quiet);
    loaded.backend = make_backend(model, options, opened.placement, process,
                                  {n_prompt, options.sampler.temperature <= 0});
  }
  const Backend& backend = *loaded.backend;
  loaded.facts = {fmt::format("{:016x}", random_bits()),
                  model_facts(model.files),
                  opened.header_sha256,
                  backend.device_name(),
                  backend.device_bytes(),
                  opened.placement.cuda_device.has_value(),
                  backend.n_ctx(),
                  std::chrono::duration<double>(Clock::now() - opened.start).count()};
  if (options.verbose) print_model(model, backend);
  return loaded;
}

GenerateOptions generate_options(const Options& o, const RunFacts& run) {
  GenerateOptions generation{o.n_predict, o.sampler, o.stop, o.ignore_eos, o.n_logprobs, o.batch};
  generation.sampler.seed = o.seed ? *o.seed : random_bits() >> 1;
  generation.keep_stop = o.keep_stop;
  generation.special = o.output.special;
  // One chunk a part costs nothing, and a timeout is noticed sooner.
  if (!run.on_gpu) generation.prefill_part = std::min(o.batch, kCpuChunk);
  return generation;
}

std::function<bool()> stop_question(const TextSink& sink) {
  return [&sink] {
    if (sink.reader_is_gone()) throw Error(ExitCode::broken_pipe, "");
    return stop_requested().has_value();
  };
}

std::string reason_name(FinishReason reason) {
  const bool timed_out =
      reason == FinishReason::interrupted && stop_requested() == ExitCode::timeout;
  return timed_out ? "timeout" : finish_reason_name(reason);
}

}  // namespace haikuda
