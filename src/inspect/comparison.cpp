#include "inspect/comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include <fmt/format.h>

#include "inspect/chain_bound.h"
#include "inspect/nmse.h"
#include "inspect/stage_stats.h"

namespace haikuda {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A trace may hold the first values alone; its RMS is of all.
double distance(std::span<const float> mine,
                std::span<const float> theirs,
                std::optional<double> rms) {
  const std::size_t n = std::min(mine.size(), theirs.size());
  if (!rms && mine.size() != theirs.size()) return kInfinity;
  const bool finite = all_finite(mine.first(n));
  if (!all_finite(theirs.first(n))) return finite ? kInfinity : 0;
  double error = nmse(mine.first(n), theirs.first(n));
  if (!rms || *rms == 0 || !std::isfinite(*rms)) return error;
  // The first values weigh as much as they are of the row: they may be tiny by chance.
  double share = 0;
  for (const float x : theirs.first(n)) share += static_cast<double>(x) * static_cast<double>(x);
  const double expected = *rms * *rms * static_cast<double>(n);
  if (n < mine.size() && expected > 0 && std::isfinite(error))
    error *= std::min(1.0, share / expected);
  const double ratio = stage_stats(mine).rms / *rms - 1;
  return std::isfinite(ratio) ? std::max(error, ratio * ratio) : kInfinity;
}

int n_heads_of(Stage stage, const ModelConfig& c) {
  const std::vector<int> shape = stage_row_shape(stage, c, 1);
  const bool heads = shape.size() == 2 || stage == Stage::attn_max || stage == Stage::attn_sum;
  return heads ? shape[0] : 0;
}

// Where a row lies in the computation.
std::tuple<int, Stage, int> order_of(const StageRows::Key& key) {
  const auto& [layer, stage, position] = key;
  const bool is_last = layer < 0 && stage >= Stage::output_norm;
  return {is_last ? std::numeric_limits<int>::max() : layer, stage, position};
}

}  // namespace

Comparison compare_runs(const ModelConfig& config,
                        const StageRows& run,
                        const OtherRun& other,
                        double bound) {
  Comparison out{.name = other.name, .bound = bound, .first = {}, .by_layer = {}};
  out.by_layer.assign(static_cast<std::size_t>(config.n_layers), -1);
  const ChainBound bounds(config, run, bound);
  std::optional<StageRows::Key> first;
  for (const auto& [key, theirs] : other.rows.all()) {
    const std::span<const float> mine = run.row(key);
    if (mine.empty() || theirs.empty()) continue;
    const auto& [layer, stage, position] = key;
    const auto rms = other.rms.find(key);
    const double error =
        distance(mine, theirs, rms == other.rms.end() ? std::nullopt : std::optional(rms->second));
    ++out.n_rows;
    out.greatest = std::max(out.greatest, error);
    if (stage == Stage::ffn_residual) {
      double& of_layer = out.by_layer[static_cast<std::size_t>(layer)];
      of_layer = std::max(of_layer, error);
    }
    const double allowed = bounds.of(key);
    if (error <= allowed || (first && order_of(*first) < order_of(key))) continue;
    first = key;
    out.first = {stage, layer, position,
                 mine.size() == theirs.size()
                     ? first_head_above(mine, theirs, n_heads_of(stage, config), allowed)
                     : -1,
                 error};
  }
  return out;
}

Verdict Comparison::verdict() const {
  Verdict v{.group = "against", .rule = fmt::format("as {} computes it", name)};
  v.threshold = "NMSE <= " + figure_text(bound);
  v.figure = fmt::format("NMSE {} in {} rows", figure_text(greatest), n_rows);
  if (n_rows == 0) {
    v.grade = Grade::warning;
    v.cause = "the two have no row in common";
  }
  if (!first) return v;
  v.grade = Grade::red;
  v.figure = "NMSE " + figure_text(first->error);
  v.stage = first->stage;
  v.layer = first->layer;
  v.position = first->position;
  v.head = first->head;
  v.cause = fmt::format("parts from {} here first", name);
  return v;
}

}  // namespace haikuda
