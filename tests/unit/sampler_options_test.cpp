#include "infer/sampler_options.h"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/catch.h"
#include "support/expect_error.h"

namespace haikuda::test {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The message with which the options are refused.
std::string refusal(const SamplerOptions& options, int n_vocab = 100) {
  const Error error = error_of([&] { validate(options, n_vocab); });
  REQUIRE(error.code() == ExitCode::usage);
  return error.what();
}

TEST_CASE("sampler options: the defaults are llama.cpp's and pass", "[sampler]") {
  validate({});
  REQUIRE(format_samplers(SamplerOptions().samplers) ==
          "penalties;dry;top_n_sigma;top_k;typ_p;top_p;min_p;xtc;temperature");
  for (const SamplerKind off : {SamplerKind::penalties, SamplerKind::dry, SamplerKind::top_n_sigma,
                                SamplerKind::typical_p, SamplerKind::xtc})
    REQUIRE_FALSE(SamplerOptions().is_on(off));
}

TEST_CASE("sampler options: a bad value is refused by its flag", "[sampler]") {
  REQUIRE_THAT(refusal({.temperature = kNan}),
               contains_text("--temp: nan is not a number in [-100, 100]"));
  REQUIRE_THAT(refusal({.temperature = kInfinity}), contains_text("--temp"));
  REQUIRE_THAT(refusal({.dynatemp_range = -1}), contains_text("--dynatemp-range"));
  REQUIRE_THAT(refusal({.dynatemp_exponent = -1}), contains_text("--dynatemp-exp"));
  REQUIRE_THAT(refusal({.top_p = 1.1}), contains_text("--top-p"));
  REQUIRE_THAT(refusal({.min_p = -0.1}), contains_text("--min-p"));
  REQUIRE_THAT(refusal({.typical_p = 2}), contains_text("--typical-p"));
  REQUIRE_THAT(refusal({.top_n_sigma = kNan}), contains_text("--top-n-sigma"));
  REQUIRE_THAT(refusal({.xtc_probability = 2}), contains_text("--xtc-probability"));
  REQUIRE_THAT(refusal({.xtc_threshold = -1}), contains_text("--xtc-threshold"));
  REQUIRE_THAT(refusal({.repeat_penalty = 0}), contains_text("--repeat-penalty"));
  REQUIRE_THAT(refusal({.repeat_last_n = -2}), contains_text("--repeat-last-n"));
  REQUIRE_THAT(refusal({.frequency_penalty = kNan}), contains_text("--frequency-penalty"));
  REQUIRE_THAT(refusal({.presence_penalty = -kInfinity}), contains_text("--presence-penalty"));
  REQUIRE_THAT(refusal({.dry_multiplier = -1}), contains_text("--dry-multiplier"));
  REQUIRE_THAT(refusal({.dry_base = 0.5}), contains_text("--dry-base"));
  REQUIRE_THAT(refusal({.dry_allowed_length = -1}), contains_text("--dry-allowed-length"));
  REQUIRE_THAT(refusal({.dry_penalty_last_n = -2}), contains_text("--dry-penalty-last-n"));
  REQUIRE_THAT(refusal({.mirostat = 3}), contains_text("--mirostat"));
  REQUIRE_THAT(refusal({.mirostat_lr = -1}), contains_text("--mirostat-lr"));
  REQUIRE_THAT(refusal({.mirostat_ent = kNan}), contains_text("--mirostat-ent"));
  REQUIRE_THAT(refusal({.min_keep = -1}), contains_text("min_keep"));
}

TEST_CASE("sampler options: token ids are within the vocabulary", "[sampler]") {
  validate({.dry_breakers = {{99}}, .logit_bias = {{99, -kInfinity}}}, 100);
  REQUIRE_THAT(refusal({.logit_bias = {{100, 1}}}),
               contains_text("--logit-bias: there is no token 100; ids are 0 to 99"));
  REQUIRE_THAT(refusal({.logit_bias = {{-1, 1}}}), contains_text("no token -1"));
  REQUIRE_THAT(refusal({.logit_bias = {{5, kNan}}}), contains_text("for token 5"));
  REQUIRE_THAT(refusal({.logit_bias = {{5, kInfinity}}}), contains_text("for token 5"));
  REQUIRE_THAT(refusal({.dry_breakers = {{1, 100}}}), contains_text("--dry-sequence-breaker"));
  REQUIRE_THAT(refusal({.dry_breakers = {{}}}), contains_text("empty"));
}

TEST_CASE("sampler options: a flag that could not act is refused", "[sampler]") {
  REQUIRE_THAT(refusal({.typical_p = 0.5, .mirostat = 2}),
               contains_text("--typical-p has no effect with --mirostat"));
  REQUIRE_THAT(refusal({.dynatemp_range = 0.5, .mirostat = 1}), contains_text("--dynatemp-range"));
  REQUIRE_THAT(refusal({.dry_multiplier = 1, .samplers = {SamplerKind::top_k}}),
               contains_text("--dry-multiplier has no effect, as --samplers has no 'dry'"));
  REQUIRE_THAT(refusal({.repeat_penalty = 1.1, .samplers = {}}), contains_text("'penalties'"));
  REQUIRE_THAT(refusal({.samplers = {SamplerKind::top_k, SamplerKind::top_k}}),
               contains_text("'top_k' comes twice"));
  validate({.mirostat = 2});
  validate({.samplers = {}});
}

TEST_CASE("sampler options: names and letters of samplers", "[sampler]") {
  using Kinds = std::vector<SamplerKind>;
  const Kinds all = SamplerOptions().samplers;
  REQUIRE(parse_samplers(format_samplers(all)) == all);
  REQUIRE(parse_sampler_sequence("edskypmxt") == all);
  REQUIRE(parse_samplers("temperature;top_k") ==
          Kinds{SamplerKind::temperature, SamplerKind::top_k});
  REQUIRE(parse_samplers("temp;top-k;nucleus;typical-p;min-p;top-n-sigma") ==
          Kinds{SamplerKind::temperature, SamplerKind::top_k, SamplerKind::top_p,
                SamplerKind::typical_p, SamplerKind::min_p, SamplerKind::top_n_sigma});
  REQUIRE(parse_samplers("").empty());
  REQUIRE(parse_sampler_sequence("").empty());
  for (const char* bad :
       {"top_x", "top_k;;top_p", ";", "top_k;", "top_k;top-k", "infill", " top_k"}) {
    CAPTURE(bad);
    REQUIRE(error_of([&] { parse_samplers(bad); }).code() == ExitCode::usage);
  }
  REQUIRE_THAT(error_of([] { parse_samplers("top_x"); }).what(),
               contains_text("unknown sampler 'top_x'; known are penalties;"));
  REQUIRE_THAT(error_of([] { parse_sampler_sequence("kz"); }).what(), contains_text("'z'"));
  REQUIRE_THAT(error_of([] { parse_sampler_sequence("kk"); }).what(), contains_text("twice"));
}

TEST_CASE("sampler options: when the choice is the greatest logit as it stands", "[sampler]") {
  REQUIRE_FALSE(SamplerOptions().is_argmax());
  REQUIRE(SamplerOptions{.temperature = 0}.is_argmax());
  REQUIRE(SamplerOptions{.temperature = -1}.is_argmax());
  REQUIRE(SamplerOptions{.temperature = 0, .top_k = 5, .top_p = 0.1, .min_p = 0.9, .top_n_sigma = 1}
              .is_argmax());
  REQUIRE(SamplerOptions{.temperature = 0, .mirostat = 2}.is_argmax());
  REQUIRE(SamplerOptions{.temperature = 0, .repeat_penalty = 2, .repeat_last_n = 0}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .dynatemp_range = 0.1}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .typical_p = 0.9}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .xtc_probability = 0.5}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .repeat_penalty = 1.1}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .frequency_penalty = 0.1}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .presence_penalty = 0.1}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .dry_multiplier = 0.8}.is_argmax());
  REQUIRE_FALSE(SamplerOptions{.temperature = 0, .logit_bias = {{1, 1}}}.is_argmax());
}

}  // namespace
}  // namespace haikuda::test
