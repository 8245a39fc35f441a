// The signs that a person would look for in the numbers of q, k, v, RoPE and softmax.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "inspect/nmse.h"
#include "inspect/recompute.h"
#include "inspect/rules.h"
#include "inspect/stage_stats.h"

namespace haikuda {
namespace {

constexpr float kMaxQkv = 1e4f;     // biases of real models reach hundreds
constexpr double kStuck = 0.99999;  // weight of one position in all heads
constexpr double kSumTolerance = 1e-3;
// NMSE up to which a row that RoPE ought to have changed is the same. Rounding to half alone makes
// up to 2.4e-7; where few pairs turn visibly, a small position makes little more than 1e-7.
constexpr double kSame = 1e-7, kSameInHalf = 5e-7;

// The figure of a rule that nothing breaks, or the first place that does.
Verdict start(const char* group, std::string rule, std::string threshold) {
  return {.group = group, .rule = std::move(rule), .threshold = std::move(threshold)};
}

double norm_of(std::span<const float> row) {
  double sum = 0;
  for (const float x : row) sum += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(sum);
}

// The greatest product of the lengths of a head of q and its head of k, as scores are scaled: what
// the rounding of a score is measured by.
double size_of_scores(const Checkup& c, const StageRows& rows, int position) {
  const auto q = rows.row(Stage::q_rope, 0, position), k = rows.row(Stage::k_rope, 0, position);
  const auto head_dim = static_cast<std::size_t>(c.config().head_dim);
  const auto group = static_cast<std::size_t>(c.config().n_heads / c.config().n_kv_heads);
  double out = 0;
  for (std::size_t h = 0; h < q.size() / head_dim && h / group < k.size() / head_dim; ++h)
    out = std::max(out, norm_of(q.subspan(h * head_dim, head_dim)) *
                            norm_of(k.subspan(h / group * head_dim, head_dim)));
  return out / std::sqrt(static_cast<double>(head_dim));
}

// The same token everywhere: at layer 0 a score depends on the distance of its two positions.
void check_distances(const Checkup& c, Diagnosis& out) {
  const double tolerance = std::max(1e-3, std::sqrt(c.rounding));
  Verdict distance =
      start("RoPE", "scores depend on the distance alone", "<= " + figure_text(tolerance));
  const auto last = c.exam.repeated.row(Stage::attn_scores, 0, kRepeats - 1);
  if (last.empty() || !all_finite(last)) return;
  const auto n_heads = static_cast<std::size_t>(c.config().n_heads);
  const double size = std::max(norm_of(last) / std::sqrt(static_cast<double>(last.size())),
                               size_of_scores(c, c.exam.repeated, kRepeats - 1));
  double worst = 0;
  for (int p = 0; p < kRepeats - 1; ++p) {
    const auto row = c.exam.repeated.row(Stage::attn_scores, 0, p);
    const auto n_keys = static_cast<std::size_t>(p) + 1;
    if (row.size() != n_heads * n_keys) continue;
    for (std::size_t h = 0; h < n_heads; ++h)
      for (std::size_t d = 0; d < n_keys; ++d) {
        const float a = row[h * n_keys + n_keys - 1 - d];
        const float b = last[h * kRepeats + kRepeats - 1 - d];
        const double error = std::fabs(static_cast<double>(a - b)) / size;
        if (!(error <= worst)) worst = error;
        if (!(error <= tolerance))
          distance.flag(Grade::red, Stage::attn_scores, 0, p,
                        "q and k are rotated by different positions");
      }
  }
  distance.figure = "off by " + figure_text(worst);
  out.add(std::move(distance));
}

}  // namespace

void check_qkv(const Checkup& c, Diagnosis& out) {
  Verdict zero = start("QKV", "q, k and v are not all zero", "> 0");
  Verdict range = start("QKV", "q, k and v are in range", fmt::format("<= {}", kMaxQkv));
  double least = INFINITY;
  float greatest = 0;
  for (int layer = 0; layer < c.config().n_layers; ++layer)
    for (const Stage stage : {Stage::q, Stage::k, Stage::v})
      for (int p = 0; p < c.exam.n_tokens(); ++p) {
        const auto row = c.exam.run.row(stage, layer, p);
        if (row.empty()) continue;
        const StageStats s = stage_stats(row);
        if (s.n_non_finite == 0) least = std::min(least, s.rms);
        if (s.n_zeros == row.size())
          zero.flag(Grade::red, stage, layer, p, "the weights were not loaded");
        const float size = std::max(std::fabs(s.min), std::fabs(s.max));
        if (s.n_non_finite > 0)
          range.flag(Grade::red, stage, layer, p, "not finite");
        else if (size > kMaxQkv)
          range.flag(Grade::warning, stage, layer, p, "a scale of the weights is off");
        if (s.n_non_finite == 0) greatest = std::max(greatest, size);
      }
  zero.figure = "least RMS " + figure_text(least);
  range.figure = "greatest " + figure_text(static_cast<double>(greatest));
  out.add(std::move(zero));
  out.add(std::move(range));
}

void check_rope(const Checkup& c, Diagnosis& out) {
  const RopeFrequencies frequencies =
      rope_frequencies(c.config().rope, to_float(c.model.weights.rope_freqs));
  const auto n_dims = static_cast<std::size_t>(c.config().rope.n_dims);
  const auto head_dim = static_cast<std::size_t>(c.config().head_dim);
  Verdict zero = start("RoPE", "position zero is left alone", "NMSE <= " + figure_text(c.rounding));
  Verdict changed = start("RoPE", "q and k change above position zero", "all");
  const double tolerance = std::max(1e-4, std::sqrt(c.rounding));
  Verdict kept = start("RoPE", "the length of q and k is kept", "<= " + figure_text(tolerance));
  double worst_zero = 0, worst_kept = 0;
  int n_changed = 0, n_asked = 0;
  const bool normed = static_cast<bool>(c.model.weights.layers[0].attn_q_norm);
  const std::pair<Stage, Stage> stages[] = {{normed ? Stage::q_norm : Stage::q, Stage::q_rope},
                                            {normed ? Stage::k_norm : Stage::k, Stage::k_rope}};
  for (int layer = 0; layer < c.config().n_layers; ++layer)
    for (const auto& [before, after] : stages)
      for (int p = 0; p < c.exam.n_tokens(); ++p) {
        const auto x = c.exam.run.row(before, layer, p), y = c.exam.run.row(after, layer, p);
        if (x.empty() || y.size() != x.size() || !all_finite(x)) continue;
        if (p == 0) {
          const recompute::Rotation none{c.config().head_dim, c.config().rope.n_dims,
                                         c.config().rope.style, frequencies.radians,
                                         frequencies.magnitude};
          const double error = nmse(y, recompute::rope(x, none, 0));
          worst_zero = std::max(worst_zero, error);
          if (error > c.rounding)
            zero.flag(Grade::red, after, layer, p, "the position does not begin at zero");
        } else {
          ++n_asked;
          const bool differs = nmse(y, x) > (c.rounding > kExactRounding ? kSameInHalf : kSame);
          n_changed += differs ? 1 : 0;
          if (!differs)
            changed.flag(Grade::red, after, layer, p,
                         "not rotated: the position is stuck at zero, or RoPE is not applied");
        }
        for (std::size_t h = 0; h < x.size(); h += head_dim) {
          const double length = norm_of(x.subspan(h, n_dims)) * frequencies.magnitude;
          if (length == 0) continue;
          const double error = std::fabs(norm_of(y.subspan(h, n_dims)) / length - 1);
          if (error <= tolerance) {
            worst_kept = std::max(worst_kept, error);
            continue;
          }
          kept.flag(Grade::red, after, layer, p, "cos and sin do not belong to one angle");
          worst_kept = error;
        }
      }
  zero.figure = "NMSE " + figure_text(worst_zero);
  changed.figure = fmt::format("{} of {} rows", n_changed, n_asked);
  kept.figure = "off by " + figure_text(worst_kept);
  out.add(std::move(zero));
  if (n_asked > 0) out.add(std::move(changed));
  out.add(std::move(kept));
  check_distances(c, out);
}

void check_softmax(const Checkup& c, Diagnosis& out) {
  Verdict sum = start("softmax", "weights sum to one", "<= " + figure_text(kSumTolerance));
  Verdict causal = start("softmax", "each token sees itself and all before it", "all");
  Verdict alike = start("softmax", "weights differ between positions", "all layers");
  Verdict stuck = start("softmax", "not all heads are stuck on one position", "all layers");
  const auto n_heads = static_cast<std::size_t>(c.config().n_heads);
  double worst = 0, most = 0;
  for (int layer = 0; layer < c.config().n_layers; ++layer) {
    bool all_equal = true, any = false;
    double least_peak = 1;  // of all heads and positions, the greatest weight on one key
    for (int p = 0; p < c.exam.n_tokens(); ++p) {
      const auto row = c.exam.run.row(Stage::attn_weights, layer, p);
      if (row.empty()) continue;
      const std::size_t n_keys = row.size() / n_heads;
      if (n_keys != static_cast<std::size_t>(p) + 1)
        causal.flag(Grade::red, Stage::attn_weights, layer, p,
                    n_keys < static_cast<std::size_t>(p) + 1 ? "the mask ignores the past"
                                                             : "later tokens are seen");
      for (std::size_t h = 0; h < n_heads; ++h) {
        const auto weights = row.subspan(h * n_keys, n_keys);
        double total = 0, peak = 0, least = 1;
        for (const float w : weights) {
          total += static_cast<double>(w);
          peak = std::max(peak, static_cast<double>(w));
          least = std::min(least, static_cast<double>(w));
        }
        const double error = std::fabs(total - 1);
        if (!(error <= kSumTolerance))
          sum.flag(Grade::red, Stage::attn_weights, layer, p,
                   std::isfinite(total)
                       ? "the weights are not divided by their sum"
                       : "exp overflows: softmax does not subtract the greatest score");
        if (!(error <= worst)) worst = error;
        if (n_keys < 2) continue;
        any = true;
        all_equal &= peak - least < 1e-7;
        least_peak = std::min(least_peak, peak);
      }
    }
    if (!any) continue;
    most = std::max(most, least_peak);
    if (all_equal)
      alike.flag(Grade::red, Stage::attn_weights, layer, -1,
                 "attention is broken: q or k carries nothing");
    if (least_peak > kStuck)
      stuck.flag(Grade::red, Stage::attn_weights, layer, -1,
                 "the cache or the mask shows one position only, or the scores are far too great");
  }
  sum.figure = "off by " + figure_text(worst);
  causal.figure = causal.grade == Grade::good ? "all" : "not all";
  alike.figure = alike.grade == Grade::good ? "they do" : "all equal";
  stuck.figure = "least peak " + figure_text(most);
  for (Verdict* v : {&sum, &causal, &alike, &stuck}) out.add(std::move(*v));
}

}  // namespace haikuda
