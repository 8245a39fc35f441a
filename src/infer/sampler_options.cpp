#include "infer/sampler_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

struct KindName {
  SamplerKind kind;
  char letter;
  const char* name;
};

// Letters and names: llama.cpp common/sampling.cpp.
constexpr KindName kKinds[] = {
    {SamplerKind::penalties, 'e', "penalties"},
    {SamplerKind::dry, 'd', "dry"},
    {SamplerKind::top_n_sigma, 's', "top_n_sigma"},
    {SamplerKind::top_k, 'k', "top_k"},
    {SamplerKind::typical_p, 'y', "typ_p"},
    {SamplerKind::top_p, 'p', "top_p"},
    {SamplerKind::min_p, 'm', "min_p"},
    {SamplerKind::xtc, 'x', "xtc"},
    {SamplerKind::temperature, 't', "temperature"},
};

constexpr std::pair<const char*, SamplerKind> kOtherNames[] = {
    {"typical_p", SamplerKind::typical_p}, {"typical", SamplerKind::typical_p},
    {"typ", SamplerKind::typical_p},       {"nucleus", SamplerKind::top_p},
    {"temp", SamplerKind::temperature},
};

[[noreturn]] void usage_error(const std::string& message) {
  throw Error(ExitCode::usage, message);
}

bool contains(const std::vector<SamplerKind>& samplers, SamplerKind kind) {
  return std::find(samplers.begin(), samplers.end(), kind) != samplers.end();
}

SamplerKind kind_of_name(std::string_view given) {
  std::string name(given);
  std::replace(name.begin(), name.end(), '-', '_');
  for (const KindName& k : kKinds)
    if (name == k.name) return k.kind;
  for (const auto& [other, kind] : kOtherNames)
    if (name == other) return kind;
  std::string known;
  for (const KindName& k : kKinds) known += fmt::format("{}{}", known.empty() ? "" : ";", k.name);
  usage_error(
      fmt::format("--samplers: unknown sampler '{}'; known are {}", printable(given), known));
}

void check_repeats(const std::vector<SamplerKind>& samplers) {
  for (std::size_t i = 0; i < samplers.size(); ++i)
    if (std::find(samplers.begin(), samplers.begin() + static_cast<std::ptrdiff_t>(i),
                  samplers[i]) != samplers.begin() + static_cast<std::ptrdiff_t>(i))
      usage_error(
          fmt::format("--samplers: '{}' comes twice; name each once", sampler_name(samplers[i])));
}

struct Number {
  const char* flag;
  double value;
  double low;
  double high;
};

// The bounds keep every intermediate value finite.
void check_numbers(const SamplerOptions& o) {
  constexpr double kMost = std::numeric_limits<int>::max();
  const Number numbers[] = {
      {"--temp", o.temperature, -100, 100},
      {"--dynatemp-range", o.dynatemp_range, 0, 100},
      {"--dynatemp-exp", o.dynatemp_exponent, 0, 100},
      {"--top-p", o.top_p, 0, 1},
      {"--min-p", o.min_p, 0, 1},
      {"--typical-p", o.typical_p, 0, 1},
      {"--top-n-sigma", o.top_n_sigma, -1e6, 1e6},
      {"--xtc-probability", o.xtc_probability, 0, 1},
      {"--xtc-threshold", o.xtc_threshold, 0, 1},
      {"--repeat-penalty", o.repeat_penalty, 0.01, 100},
      {"--repeat-last-n", static_cast<double>(o.repeat_last_n), -1, kMost},
      {"--frequency-penalty", o.frequency_penalty, -100, 100},
      {"--presence-penalty", o.presence_penalty, -100, 100},
      {"--dry-multiplier", o.dry_multiplier, 0, 1000},
      {"--dry-base", o.dry_base, 1, 100},
      {"--dry-allowed-length", static_cast<double>(o.dry_allowed_length), 0, kMost},
      {"--dry-penalty-last-n", static_cast<double>(o.dry_penalty_last_n), -1, kMost},
      {"--mirostat", static_cast<double>(o.mirostat), 0, 2},
      {"--mirostat-lr", o.mirostat_lr, 0, 10},
      {"--mirostat-ent", o.mirostat_ent, 0, 100},
      {"min_keep", static_cast<double>(o.min_keep), 0, kMost},
  };
  for (const Number& n : numbers)
    if (!(n.value >= n.low && n.value <= n.high))  // NaN too
      usage_error(
          fmt::format("{}: {} is not a number in [{}, {}]", n.flag, n.value, n.low, n.high));
}

void check_ids(const SamplerOptions& options, int n_vocab) {
  const auto check = [&](const char* flag, int id) {
    if (id < 0 || id >= n_vocab)
      usage_error(fmt::format("{}: there is no token {}; ids are 0 to {}", flag, id, n_vocab - 1));
  };
  for (const LogitBias& b : options.logit_bias) {
    check("--logit-bias", b.id);
    if (!(b.bias <= 1e6 && (b.bias >= -1e6 || std::isinf(b.bias))))
      usage_error(fmt::format(
          "--logit-bias: {} for token {} is not a number in [-1e6, 1e6] or -inf", b.bias, b.id));
  }
  for (const std::vector<int>& breaker : options.dry_breakers) {
    if (breaker.empty()) usage_error("--dry-sequence-breaker: a breaker is empty; give it a text");
    for (const int id : breaker) check("--dry-sequence-breaker", id);
  }
}

// What is off by default and was turned on must have a place where it acts.
void check_all_act(const SamplerOptions& o) {
  const std::pair<const char*, SamplerKind> flags[] = {
      {"--repeat-penalty, --frequency-penalty or --presence-penalty", SamplerKind::penalties},
      {"--dry-multiplier", SamplerKind::dry},
      {"--top-n-sigma", SamplerKind::top_n_sigma},
      {"--typical-p", SamplerKind::typical_p},
      {"--xtc-probability", SamplerKind::xtc},
      {"--dynatemp-range", SamplerKind::temperature},
  };
  for (const auto& [flag, kind] : flags) {
    if (kind == SamplerKind::temperature ? o.dynatemp_range <= 0 : !o.is_on(kind)) continue;
    if (o.mirostat != 0)
      usage_error(fmt::format(
          "{} has no effect with --mirostat, which replaces it; leave one of the two out", flag));
    if (!contains(o.samplers, kind))
      usage_error(fmt::format(
          "{} has no effect, as --samplers has no '{}'; add it there or leave the flag out", flag,
          sampler_name(kind)));
  }
}

}  // namespace

bool SamplerOptions::is_on(SamplerKind kind) const {
  switch (kind) {
    case SamplerKind::penalties:
      return repeat_last_n != 0 &&
             (repeat_penalty != 1 || frequency_penalty != 0 || presence_penalty != 0);
    case SamplerKind::dry:
      return dry_multiplier != 0 && dry_penalty_last_n != 0;
    case SamplerKind::top_n_sigma:
      return top_n_sigma > 0;
    case SamplerKind::top_k:
      return top_k > 0;
    case SamplerKind::typical_p:
      return typical_p < 1;
    case SamplerKind::top_p:
      return top_p < 1;
    case SamplerKind::min_p:
      return min_p > 0;
    case SamplerKind::xtc:
      return xtc_probability > 0 && xtc_threshold <= 0.5;
    case SamplerKind::temperature:
      return true;
  }
  return false;
}

// All other samplers keep the greatest logit, and the lowest id of equals.
bool SamplerOptions::is_argmax() const {
  return greedy() && logit_bias.empty() && !is_on(SamplerKind::penalties) &&
         !is_on(SamplerKind::dry) && !is_on(SamplerKind::typical_p) && !is_on(SamplerKind::xtc);
}

void validate(const SamplerOptions& options, int n_vocab) {
  check_numbers(options);
  check_ids(options, n_vocab);
  check_repeats(options.samplers);
  check_all_act(options);
}

const char* sampler_name(SamplerKind kind) {
  for (const KindName& k : kKinds)
    if (k.kind == kind) return k.name;
  return "unknown";
}

std::vector<SamplerKind> parse_samplers(std::string_view names) {
  std::vector<SamplerKind> samplers;
  while (!names.empty()) {
    const std::size_t end = names.find(';');
    samplers.push_back(kind_of_name(names.substr(0, end)));
    if (end == names.size() - 1) kind_of_name("");  // a ';' with nothing after it
    names = end == std::string_view::npos ? "" : names.substr(end + 1);
  }
  check_repeats(samplers);
  return samplers;
}

std::vector<SamplerKind> parse_sampler_sequence(std::string_view letters) {
  std::vector<SamplerKind> samplers;
  for (const char letter : letters) {
    const auto* found = std::find_if(std::begin(kKinds), std::end(kKinds),
                                     [&](const KindName& k) { return k.letter == letter; });
    if (found == std::end(kKinds))
      usage_error(fmt::format("--sampler-seq: unknown sampler '{}'; known are edskypmxt",
                              printable({&letter, 1})));
    samplers.push_back(found->kind);
  }
  check_repeats(samplers);
  return samplers;
}

std::string format_samplers(const std::vector<SamplerKind>& samplers) {
  std::string out;
  for (const SamplerKind kind : samplers)
    out += fmt::format("{}{}", out.empty() ? "" : ";", sampler_name(kind));
  return out;
}

}  // namespace haikuda
