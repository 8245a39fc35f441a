#include "infer/sampler.h"

#include "base/error.h"
#include "infer/random.h"
#include "infer/sampler_mirostat.h"
#include "infer/sampler_penalties.h"
#include "infer/sampler_temperature.h"
#include "infer/sampler_truncation.h"

namespace haikuda {
namespace {

const SamplerOptions& validated(const SamplerOptions& options) {
  validate(options);
  return options;
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(validated(options)), dry_(options_) {
  reset(options.seed);
}

void Sampler::reset(std::uint64_t seed) {
  options_.seed = seed;
  mu_ = 2 * options_.mirostat_ent;  // where the paper starts
}

int Sampler::sample(std::span<const float> logits, std::span<const int> history) {
  HAIKUDA_CHECK(!logits.empty());
  fill_candidates(candidates_, logits);
  if (!options_.logit_bias.empty()) apply_logit_bias(candidates_, options_.logit_bias);
  const double u = uniform(options_.seed, history.size(), RandomStream::token);
  if (options_.mirostat != 0) return sample_mirostat(static_cast<int>(logits.size()), u);
  for (const SamplerKind kind : options_.samplers)
    if (options_.is_on(kind)) apply(kind, history);
  if (options_.greedy()) keep_likeliest(candidates_);
  return draw_candidate(candidates_, u).id;
}

void Sampler::apply(SamplerKind kind, std::span<const int> history) {
  const SamplerOptions& o = options_;
  switch (kind) {
    case SamplerKind::penalties:
      return apply_penalties(candidates_, last_tokens(history, o.repeat_last_n), o.repeat_penalty,
                             o.frequency_penalty, o.presence_penalty);
    case SamplerKind::dry:
      return dry_.apply(candidates_, history);
    case SamplerKind::top_n_sigma:
      return keep_top_n_sigma(candidates_, o.top_n_sigma);
    case SamplerKind::top_k:
      return keep_top_k(candidates_, o.top_k);
    case SamplerKind::typical_p:
      return keep_typical(candidates_, o.typical_p, o.min_keep);
    case SamplerKind::top_p:
      return keep_top_p(candidates_, o.top_p, o.min_keep);
    case SamplerKind::min_p:
      return keep_min_p(candidates_, o.min_p, o.min_keep);
    case SamplerKind::xtc:
      if (uniform(o.seed, history.size(), RandomStream::xtc) < o.xtc_probability)
        drop_top_choices(candidates_, o.xtc_threshold, o.min_keep);
      return;
    case SamplerKind::temperature:
      if (o.dynatemp_range <= 0) return apply_temperature(candidates_, o.temperature);
      return apply_temperature(
          candidates_,
          dynamic_temperature(candidates_, o.temperature, o.dynatemp_range, o.dynatemp_exponent));
  }
}

int Sampler::sample_mirostat(int n_vocab, double uniform) {
  apply_temperature(candidates_, options_.temperature);
  if (options_.mirostat == 1) keep_mirostat_1(candidates_, mu_, n_vocab);
  if (options_.mirostat == 2) keep_mirostat_2(candidates_, mu_);
  const Candidate& drawn = draw_candidate(candidates_, uniform);
  const double surprise = Softmax(candidates_).surprise_bits(drawn);
  mu_ = next_mu(mu_, surprise, options_.mirostat_ent, options_.mirostat_lr);
  return drawn.id;
}

}  // namespace haikuda
