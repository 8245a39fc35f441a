#include <CLI/CLI.hpp>

#include "app/option_groups.h"
#include "base/error.h"

namespace haikuda {

void add_sampler_options(CLI::App& app, RawOptions& raw) {
  SamplerOptions& s = raw.options.sampler;
  app.option_defaults()->group("Sampling");
  const auto number = [&](const char* names, auto& value, const char* what, const char* value_name,
                          double min, double max) {
    app.add_option(names, value, what)
        ->type_name(value_name)
        ->check(number_in(min, max))
        ->capture_default_str();
  };
  const auto texts = [&](const char* names, std::vector<std::string>& values, const char* what,
                         const char* value_name) {
    app.add_option(names, values, what)->type_name(value_name)->take_all()->allow_extra_args(false);
  };
  // Bounds as validate() has them, so that a message names the value as it was typed.
  number("-s,--seed", raw.seed, "Seed of the random draws; -1: random", "SEED", -1, 9e18);
  number("--temp,--temperature", s.temperature, "Temperature; 0: always the likeliest token", "T",
         0, 100);
  number("--top-k", s.top_k, "Choose among the K likeliest tokens; 0: all", "K", 0, 1e9);
  number("--top-p", s.top_p, "Choose among the likeliest tokens that sum to P", "P", 0, 1);
  number("--min-p", s.min_p, "Drop tokens less likely than P times the likeliest", "P", 0, 1);
  number("--typical-p", s.typical_p, "Choose among the most typical that sum to P", "P", 0, 1);
  number("--top-n-sigma", s.top_n_sigma, "Keep logits within N deviations of the greatest", "N",
         -1e6, 1e6);
  number("--xtc-probability", s.xtc_probability, "How often to exclude top choices", "P", 0, 1);
  number("--xtc-threshold", s.xtc_threshold, "How likely a top choice is at least", "P", 0, 1);
  number("--dynatemp-range", s.dynatemp_range, "Temperature +- X by the entropy; 0: off", "X", 0,
         100);
  number("--dynatemp-exp", s.dynatemp_exponent, "Exponent of the entropy there", "X", 0, 100);
  number("--repeat-penalty", s.repeat_penalty, "Divide the logits of recent tokens by X", "X", 0.01,
         100);
  number("--repeat-last-n", s.repeat_last_n, "Tokens penalties look back on; -1: all", "N", -1,
         1e9);
  number("--presence-penalty", s.presence_penalty, "Subtract X for a token that occurred", "X",
         -100, 100);
  number("--frequency-penalty", s.frequency_penalty, "Subtract X for each time it occurred", "X",
         -100, 100);
  number("--dry-multiplier", s.dry_multiplier, "Strength of DRY, against repetition; 0: off", "X",
         0, 1000);
  number("--dry-base", s.dry_base, "Base of DRY", "X", 1, 100);
  number("--dry-allowed-length", s.dry_allowed_length, "Repetitions that cost nothing", "N", 0,
         1e9);
  number("--dry-penalty-last-n", s.dry_penalty_last_n, "Tokens DRY looks back on; -1: all", "N", -1,
         1e9);
  texts("--dry-sequence-breaker", raw.dry_breakers,
        "Text no repetition spans; none: no such text; repeatable", "TEXT");
  number("--mirostat", s.mirostat, "Mirostat 1 or 2 in place of the others; 0: off", "N", 0, 2);
  number("--mirostat-lr", s.mirostat_lr, "Learning rate of mirostat", "X", 0, 10);
  number("--mirostat-ent", s.mirostat_ent, "Surprise that mirostat aims at, in bits", "X", 0, 100);
  texts("-l,--logit-bias", raw.options.sampler_texts.logit_bias,
        "Add to a token's logit: 42+1, 42-inf; repeatable", "ID+B");
  texts("--logit-bias-str", raw.options.sampler_texts.logit_bias_str,
        "The same for each token of a text: Hello=-2", "TEXT=B");
  app.add_option("--samplers", raw.samplers, "Their order")
      ->type_name("A;B")
      ->default_str(format_samplers(s.samplers));
  app.add_option("--sampler-seq", raw.sampler_sequence, "The same by letters of edskypmxt")
      ->type_name("ABC");
}

void resolve_samplers(const CLI::App& app, RawOptions& raw) {
  SamplerOptions& s = raw.options.sampler;
  if (app.count("--samplers") > 0 && app.count("--sampler-seq") > 0)
    throw Error(ExitCode::usage, "give --samplers or --sampler-seq, not both");
  if (app.count("--samplers") > 0) s.samplers = parse_samplers(raw.samplers);
  if (app.count("--sampler-seq") > 0) s.samplers = parse_sampler_sequence(raw.sampler_sequence);
  if (app.count("--dry-sequence-breaker") > 0) {
    raw.options.sampler_texts.dry_breakers = raw.dry_breakers;
    std::erase(raw.options.sampler_texts.dry_breakers, "none");
  }
  validate(s);
}

}  // namespace haikuda
