#include "infer/common_chain.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace haikuda {
namespace {

constexpr double kColdest = 1e-10;  // as in sampler_temperature.cpp

// Where a kind stands in the common chain; -1 where it is no part of it.
int place_of(SamplerKind kind) {
  switch (kind) {
    case SamplerKind::penalties:
      return 0;
    case SamplerKind::top_k:
      return 1;
    case SamplerKind::top_p:
      return 2;
    case SamplerKind::min_p:
      return 3;
    case SamplerKind::temperature:
      return 4;
    default:
      return -1;
  }
}

bool is_common(const SamplerOptions& o) {
  if (o.mirostat != 0 || o.dynatemp_range > 0) return false;
  int last = -1;
  for (const SamplerKind kind : o.samplers) {
    if (!o.is_on(kind)) continue;
    if (place_of(kind) <= last) return false;  // also -1
    last = place_of(kind);
  }
  return true;
}

int n_allowed(const SamplerOptions& o, int n_vocab) {
  std::set<int> forbidden;
  for (const LogitBias& b : o.logit_bias)
    if (std::isinf(b.bias) && b.id >= 0 && b.id < n_vocab) forbidden.insert(b.id);
  return n_vocab - static_cast<int>(forbidden.size());
}

}  // namespace

std::optional<CommonChain> common_chain(const SamplerOptions& o, int n_vocab) {
  const int n = n_allowed(o, n_vocab);
  if (!is_common(o) || n < 1) return std::nullopt;
  const auto acts = [&](SamplerKind kind) {
    return o.is_on(kind) &&
           std::find(o.samplers.begin(), o.samplers.end(), kind) != o.samplers.end();
  };
  CommonChain chain{.seed = o.seed, .has_bias = !o.logit_bias.empty(), .min_keep = o.min_keep};
  if (acts(SamplerKind::penalties)) {
    chain.last_n = o.repeat_last_n;
    chain.repeat = o.repeat_penalty;
    chain.frequency = o.frequency_penalty;
    chain.presence = o.presence_penalty;
  }
  const bool has_temperature = acts(SamplerKind::temperature);
  if (o.greedy() || (has_temperature && o.temperature < kColdest)) return chain;
  chain.top_k = acts(SamplerKind::top_k) ? std::min(o.top_k, n) : n;
  if (acts(SamplerKind::top_p)) chain.top_p = o.top_p;
  if (acts(SamplerKind::min_p)) {
    chain.has_min_p = true;
    chain.log_min_p = std::log(o.min_p);
  }
  if (has_temperature) chain.temperature = o.temperature;
  return chain;
}

}  // namespace haikuda
