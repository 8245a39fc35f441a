// What the user may ask of the sampler, with llama.cpp's names, meanings and defaults, and whether
// it makes sense.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace haikuda {

enum class SamplerKind {
  penalties,
  dry,
  top_n_sigma,
  top_k,
  typical_p,
  top_p,
  min_p,
  xtc,
  temperature
};

struct LogitBias {
  int id = 0;
  double bias = 0;  // added to the logit; minus infinity: never this token
};

struct SamplerOptions {
  double temperature = 0.8;      // <= 0: greedy
  double dynatemp_range = 0;     // temperature +- this, by entropy; 0: off
  double dynatemp_exponent = 1;  // of the normalised entropy, in dynatemp
  int top_k = 40;                // <= 0: off
  double top_p = 0.95;           // 1: off
  double min_p = 0.05;           // 0: off
  double typical_p = 1;          // 1: off
  double top_n_sigma = -1;       // <= 0: off
  double xtc_probability = 0;    // 0: off
  double xtc_threshold = 0.1;    // least probability of a top choice; > 0.5: off
  double repeat_penalty = 1;     // 1: off
  int repeat_last_n = 64;        // tokens the three penalties look back on; -1: all, 0: off
  double frequency_penalty = 0;  // for each occurrence; 0: off
  double presence_penalty = 0;   // once for any occurrence; 0: off
  double dry_multiplier = 0;     // 0: off
  double dry_base = 1.75;        // penalty = multiplier * base ^ (length - allowed_length)
  int dry_allowed_length = 2;    // repetitions shorter than this cost nothing
  int dry_penalty_last_n = 64;   // tokens DRY looks back on; -1: all, 0: off
  std::vector<std::vector<int>> dry_breakers =
      {};                                  // token sequences that no repetition reaches across
  int mirostat = 0;                        // 1 or 2: instead of all samplers but the temperature
  double mirostat_lr = 0.1;                // learning rate, eta in the paper
  double mirostat_ent = 5;                 // target surprise in bits, tau in the paper
  std::vector<LogitBias> logit_bias = {};  // applied first
  int min_keep = 0;                      // tokens that top-p, min-p, typical and XTC leave at least
  std::vector<SamplerKind> samplers = {  // in the order they are applied; those left out are not
      SamplerKind::penalties, SamplerKind::dry,       SamplerKind::top_n_sigma,
      SamplerKind::top_k,     SamplerKind::typical_p, SamplerKind::top_p,
      SamplerKind::min_p,     SamplerKind::xtc,       SamplerKind::temperature};
  std::uint64_t seed = 0;

  bool greedy() const { return temperature <= 0 && dynatemp_range <= 0; }
  // Whether the values of `kind` make it do something.
  bool is_on(SamplerKind kind) const;
  // Whether the choice is the greatest logit as it stands, which a device can find by itself.
  bool is_argmax() const;
};

// Throws Error(usage) naming the first bad value by its flag. `n_vocab` bounds the token ids where
// it is known.
void validate(const SamplerOptions& options, int n_vocab = std::numeric_limits<int>::max());

// "top_k", as --samplers has it.
const char* sampler_name(SamplerKind kind);
// "penalties;dry;top_k", llama.cpp's --samplers; '-' for '_' and its other names are understood
// too. Throws Error(usage) for a name that is unknown or comes twice. The empty text is the empty
// list.
std::vector<SamplerKind> parse_samplers(std::string_view names);
// "edskypmxt", llama.cpp's --sampler-seq.
std::vector<SamplerKind> parse_sampler_sequence(std::string_view letters);
// The inverse of parse_samplers.
std::string format_samplers(const std::vector<SamplerKind>& samplers);

}  // namespace haikuda
