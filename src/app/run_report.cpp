#include "app/run_report.h"

#include <fmt/format.h>

#include "app/terminal.h"
#include "base/printable.h"

namespace haikuda {
namespace {

double rate(int n, double seconds) {
  return seconds > 0 ? n / seconds : 0;
}

}  // namespace

void print_warnings(const Options& options) {
  if (options.quiet) return;
  for (const std::string& warning : options.warnings)
    tell(fmt::format("haikuda: warning: {}\n", warning));
}

void note(const Options& options, const std::string& message) {
  if (!options.quiet) tell(fmt::format("haikuda: note: {}\n", message));
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

void print_timeline(const Timeline& timeline) {
  constexpr double kMs = 1e3;
  for (const Timeline::Span& s : timeline.spans()) {
    const double seconds = s.end_s - s.begin_s;
    const std::string speed =
        s.bytes > 0 && seconds > 0
            ? fmt::format(", {:.1f} GB/s", static_cast<double>(s.bytes) / seconds / 1e9)
            : "";
    tell(fmt::format("haikuda: {:<13} {:7.1f} to {:7.1f} ms, {:6.1f} ms{}\n", s.name,
                     s.begin_s * kMs, s.end_s * kMs, seconds * kMs, speed));
  }
}

void print_stats(const GenerateResult& r,
                 const RunFacts& run,
                 const std::string& reason,
                 const SamplerOptions& sampler) {
  const std::string seed = sampler.greedy() ? "greedy" : fmt::format("seed {}", sampler.seed);
  const std::string reused = r.n_reused > 0 ? fmt::format(" ({} reused)", r.n_reused) : "";
  tell(fmt::format(
      "haikuda: load {:.2f} s · prompt {} tokens{}, {:.1f} tokens/s · generated {} tokens, "
      "{:.1f} tokens/s · {} · {} · {}\n",
      run.load_s, r.n_prompt, reused, rate(r.n_prompt - r.n_reused, r.prefill_s), r.tokens.size(),
      rate(r.n_decoded, r.decode_s), reason, seed, run.device));
}

}  // namespace haikuda
