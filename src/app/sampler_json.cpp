#include "app/sampler_json.h"

namespace haikuda {

// Keys are the options' names.
Json sampler_json(const SamplerOptions& o) {
  Json biases = Json::array();
  for (const LogitBias& b : o.logit_bias)
    biases.push_back({{"id", b.id}, {"bias", b.bias}});  // -inf becomes null
  return {{"temp", o.temperature},
          {"top_k", o.top_k},
          {"top_p", o.top_p},
          {"min_p", o.min_p},
          {"typical_p", o.typical_p},
          {"top_n_sigma", o.top_n_sigma},
          {"xtc_probability", o.xtc_probability},
          {"xtc_threshold", o.xtc_threshold},
          {"dynatemp_range", o.dynatemp_range},
          {"dynatemp_exp", o.dynatemp_exponent},
          {"repeat_penalty", o.repeat_penalty},
          {"repeat_last_n", o.repeat_last_n},
          {"presence_penalty", o.presence_penalty},
          {"frequency_penalty", o.frequency_penalty},
          {"dry_multiplier", o.dry_multiplier},
          {"dry_base", o.dry_base},
          {"dry_allowed_length", o.dry_allowed_length},
          {"dry_penalty_last_n", o.dry_penalty_last_n},
          {"mirostat", o.mirostat},
          {"mirostat_lr", o.mirostat_lr},
          {"mirostat_ent", o.mirostat_ent},
          {"logit_bias", biases},
          {"samplers", format_samplers(o.samplers)}};
}

}  // namespace haikuda
