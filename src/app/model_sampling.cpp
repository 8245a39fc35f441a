#include "app/model_sampling.h"

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

// Keys of llama.cpp (src/llama-arch.cpp); each is an option's name in another spelling.
class ModelSampling {
 public:
  ModelSampling(Options& options, const Metadata& metadata)
      : options_(options), metadata_(metadata) {}

  void real(const char* suffix, const char* option, double& value, double min, double max) {
    const std::string key = std::string("general.sampling.") + suffix;
    const auto found = metadata_.find_float(key);
    if (!found) return;
    if (!std::isfinite(*found) || *found < min || *found > max)
      metadata_.fail(key, fmt::format("expected a number from {} to {}, got {}", min, max, *found));
    if (options_.is_set(option)) return;
    value = *found;
    note(option, fmt::format("{}", static_cast<float>(*found)), key);
  }
  void integer(const char* suffix, const char* option, int& value, int min) {
    const std::string key = std::string("general.sampling.") + suffix;
    const auto found = metadata_.find_int(key, min, 1'000'000'000);
    if (!found || options_.is_set(option)) return;
    value = static_cast<int>(*found);
    note(option, fmt::format("{}", value), key);
  }
  void sequence(std::vector<SamplerKind>& samplers) {
    const std::string key = "general.sampling.sequence";
    const std::string* names = metadata_.find_string(key);
    if (names == nullptr || options_.is_set("--samplers") || options_.is_set("--sampler-seq"))
      return;
    try {
      samplers = parse_samplers(*names);
    } catch (const Error& e) {
      metadata_.fail(key, printable(e.what()));
    }
    note("--samplers", *names, key);
  }

 private:
  void note(const char* option, const std::string& value, const std::string& key) {
    for (Setting& s : options_.settings)
      if (s.name == option) s = {option, value, "model " + key};
  }

  Options& options_;
  const Metadata& metadata_;
};

}  // namespace

void apply_model_sampling(Options& options, const Metadata& metadata) {
  SamplerOptions& s = options.sampler;
  ModelSampling model(options, metadata);
  model.real("temp", "--temp", s.temperature, 0, 100);
  model.integer("top_k", "--top-k", s.top_k, 0);
  model.real("top_p", "--top-p", s.top_p, 0, 1);
  model.real("min_p", "--min-p", s.min_p, 0, 1);
  model.real("penalty_repeat", "--repeat-penalty", s.repeat_penalty, 0.01, 100);
  model.integer("penalty_last_n", "--repeat-last-n", s.repeat_last_n, -1);
  model.real("xtc_probability", "--xtc-probability", s.xtc_probability, 0, 1);
  model.real("xtc_threshold", "--xtc-threshold", s.xtc_threshold, 0, 1);
  model.integer("mirostat", "--mirostat", s.mirostat, 0);
  model.real("mirostat_tau", "--mirostat-ent", s.mirostat_ent, 0, 100);
  model.real("mirostat_eta", "--mirostat-lr", s.mirostat_lr, 0, 10);
  model.sequence(s.samplers);
}

}  // namespace haikuda
