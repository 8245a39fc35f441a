#include "inspect/diagnosis.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include <fmt/format.h>

namespace haikuda {
namespace {

// Where in the computation a verdict lies: (file or not, layer, stage). The embedding is before the
// layers, the logits are behind them.
std::tuple<int, int, int> order_of(const Verdict& v) {
  constexpr int kLast = std::numeric_limits<int>::max();
  if (v.group == "file") return {0, 0, 0};
  if (!v.stage) return {2, v.layer, 0};
  const int layer = is_of_layer(*v.stage) ? v.layer : *v.stage >= Stage::output_norm ? kLast : -1;
  return {1, layer, static_cast<int>(*v.stage)};
}

}  // namespace

const char* grade_name(Grade grade) {
  return grade == Grade::good ? "good sign" : grade == Grade::warning ? "warning" : "red flag";
}

std::string Verdict::place() const {
  std::string out = stage ? stage_name(*stage) : "";
  if (layer >= 0) out += fmt::format("{}layer {}", stage ? " of " : "", layer);
  if (head >= 0) out += fmt::format(", head {}", head);
  if (position >= 0 && !out.empty()) out += fmt::format(", position {}", position);
  return out;
}

void Verdict::flag(Grade how, Stage at, int at_layer, int at_position, std::string why) {
  if (grade != Grade::good) return;
  grade = how;
  stage = at;
  layer = at_layer;
  position = at_position;
  cause = std::move(why);
}

int Diagnosis::count(Grade grade) const {
  return static_cast<int>(std::count_if(verdicts.begin(), verdicts.end(),
                                        [&](const Verdict& v) { return v.grade == grade; }));
}

const Verdict* Diagnosis::first_fault() const {
  const Verdict* first = nullptr;
  for (const Verdict& v : verdicts)
    if (v.grade == Grade::red && (first == nullptr || order_of(v) < order_of(*first))) first = &v;
  return first;
}

std::string Diagnosis::conclusion() const {
  const int n_warnings = count(Grade::warning);
  const Verdict* fault = first_fault();
  if (fault == nullptr)
    return fmt::format("healthy: {} checks, {}", verdicts.size(),
                       n_warnings == 0   ? "no warning"
                       : n_warnings == 1 ? "1 warning"
                                         : fmt::format("{} warnings", n_warnings));
  const std::string place = fault->place();
  return fmt::format(
      "not healthy: {}{}{}{}", place.empty() ? fault->group : place,
      fault->cause.empty() ? "" : ": ", fault->cause,
      count(Grade::red) > 1 ? fmt::format(" (the first of {} red flags)", count(Grade::red)) : "");
}

std::string figure_text(double value) {
  return fmt::format("{:.3g}", value);
}

}  // namespace haikuda
