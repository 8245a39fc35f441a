// Signs in the KV cache.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "inspect/chain_bound.h"
#include "inspect/nmse.h"
#include "inspect/rules.h"

namespace haikuda {
namespace {

void check_positions(const Checkup& c, Diagnosis& out) {
  Verdict v{.group = "KV cache", .rule = "the position advances by one a token"};
  v.threshold = fmt::format("{} after the prompt", c.exam.n_prompt);
  v.figure = fmt::format("{} to {}", c.exam.positions.front(), c.exam.positions.back());
  for (std::size_t i = 0; i < c.exam.positions.size(); ++i)
    if (c.exam.positions[i] != c.exam.n_prompt + static_cast<int>(i)) {
      v.grade = Grade::red;
      v.stage = Stage::tokens;
      v.cause = "the position is not advanced after a token";
      break;
    }
  out.add(std::move(v));
}

// Entry p of the cache is the k and v of token p.
void check_entries(const Checkup& c, Diagnosis& out) {
  Verdict v{.group = "KV cache", .rule = "the cache holds the keys and values shown"};
  // A cache in F16 rounds each number; one slot off is another vector altogether.
  const double bound = std::max(c.rounding, 1e-6);
  v.threshold = "NMSE <= " + figure_text(bound);
  double worst = 0;
  const auto size = static_cast<std::size_t>(c.config().kv_size());
  for (int layer = 0; layer < c.config().n_layers; ++layer) {
    const CachedKv& cache = c.exam.after_prompt[static_cast<std::size_t>(layer)];
    for (int p = 0; p < c.exam.n_prompt; ++p)
      for (const auto& [stage, all] : {std::pair{Stage::k_rope, &cache.k}, {Stage::v, &cache.v}}) {
        const std::span<const float> shown = c.exam.run.row(stage, layer, p);
        const std::size_t begin = static_cast<std::size_t>(p) * size;
        if (shown.empty() || !all_finite(shown) || all->size() < begin + size) continue;
        const auto entry = std::span(*all).subspan(begin, size);
        const double error = nmse(entry, shown);
        worst = std::max(worst, error);
        if (error <= bound) continue;
        const bool later = all->size() >= begin + 2 * size &&
                           nmse(std::span(*all).subspan(begin + size, size), shown) <= bound;
        const bool sooner =
            p > 0 && nmse(std::span(*all).subspan(begin - size, size), shown) <= bound;
        v.flag(Grade::red, stage, layer, p,
               later || sooner ? "keys and values are written to the wrong slot: off by one"
                               : "the entry is not what was computed");
      }
  }
  v.figure = "NMSE " + figure_text(worst);
  out.add(std::move(v));
}

void check_kept(const Checkup& c, Diagnosis& out) {
  Verdict v{.group = "KV cache", .rule = "earlier entries never change", .threshold = "0"};
  int n_changed = 0;
  const auto size = static_cast<std::size_t>(c.config().kv_size());
  for (int layer = 0; layer < c.config().n_layers; ++layer) {
    const auto at = static_cast<std::size_t>(layer);
    const CachedKv &before = c.exam.after_prompt[at], &after = c.exam.at_end[at];
    for (const auto& [stage, a, b] :
         {std::tuple{Stage::k_rope, &before.k, &after.k}, {Stage::v, &before.v, &after.v}})
      for (std::size_t i = 0; i < std::min(a->size(), b->size()); i += size) {
        const bool same =
            std::equal(a->begin() + static_cast<std::ptrdiff_t>(i),
                       a->begin() + static_cast<std::ptrdiff_t>(i + size),
                       b->begin() + static_cast<std::ptrdiff_t>(i),
                       [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
        if (same) continue;
        ++n_changed;
        v.flag(Grade::red, stage, layer, static_cast<int>(i / size),
               stage == Stage::k_rope ? "cached keys are changed later, as if rotated again"
                                      : "cached values are overwritten");
      }
  }
  v.figure = fmt::format("{} changed", n_changed);
  out.add(std::move(v));
}

void check_prefill(const Checkup& c, Diagnosis& out) {
  Verdict v{.group = "KV cache", .rule = "prefill and a token at a time agree"};
  const ChainBound bound(c.config(), c.exam.run, kChained * c.rounding);
  v.threshold = "NMSE <= " + figure_text(kChained * c.rounding);
  double worst = 0;
  for (const auto& [key, row] : c.exam.stepwise.all()) {
    const auto& [layer, stage, position] = key;
    const auto at_once = c.exam.run.row(key);
    // Scores are as sensitive as the greatest of them; weights tell the same.
    if (at_once.empty() || stage == Stage::attn_scores || stage == Stage::attn_max ||
        stage == Stage::attn_sum || !all_finite(at_once) || !all_finite(row))
      continue;
    const double error = nmse(row, at_once);
    worst = std::max(worst, error);
    if (error > bound.of(key) &&
        (v.grade == Grade::good || layer < v.layer || (layer == v.layer && stage < *v.stage))) {
      v.grade = Grade::good;
      v.flag(Grade::red, stage, layer, position,
             "one of the two is wrong: position, mask or slot in the cache");
    }
  }
  v.figure = "NMSE " + figure_text(worst);
  if (c.exam.n_prompt > 1) out.add(std::move(v));
}

}  // namespace

void check_cache(const Checkup& c, Diagnosis& out) {
  check_positions(c, out);
  check_entries(c, out);
  check_kept(c, out);
  check_prefill(c, out);
}

}  // namespace haikuda
