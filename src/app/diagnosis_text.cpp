#include "app/diagnosis_text.h"

#include <cmath>

#include <fmt/format.h>

#include "app/json_text.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr int kRuleColumn = 58, kFigureColumn = 34;

std::string growth_text(const Comparison& c) {
  std::string out = fmt::format("error of the residual by layer, against {}:", c.name);
  for (std::size_t layer = 0; layer < c.by_layer.size(); ++layer)
    if (c.by_layer[layer] >= 0)
      out += fmt::format(" {}: {}", layer, figure_text(c.by_layer[layer]));
  return out + "\n";
}

Json or_null(int n) {
  return n < 0 ? Json(nullptr) : Json(n);
}

// JSON has no infinity.
Json number_or_text(double x) {
  return std::isfinite(x) ? Json(x) : Json(figure_text(x));
}

Json verdict_json(const Verdict& v) {
  return {{"verdict", grade_name(v.grade)},
          {"group", v.group},
          {"rule", v.rule},
          {"figure", v.figure},
          {"threshold", v.threshold},
          {"stage", v.stage ? Json(stage_name(*v.stage)) : Json(nullptr)},
          {"layer", or_null(v.layer)},
          {"position", or_null(v.position)},
          {"head", or_null(v.head)},
          {"cause", v.cause.empty() ? Json(nullptr) : Json(v.cause)}};
}

}  // namespace

std::string diagnosis_text(const DiagnosisFacts& facts, const Diagnosis& diagnosis) {
  std::string out =
      fmt::format("{}, {}\n{}; {} tokens of a prompt, {} decoded\n\n", printable(facts.model),
                  printable(facts.file), printable(facts.device), facts.n_prompt, facts.n_decoded);
  for (const Verdict& v : diagnosis.verdicts) {
    out += fmt::format("{:<10} {:<9} {:<{}} {:<{}} {}\n", grade_name(v.grade), v.group,
                       printable(v.rule), kRuleColumn, printable(v.figure), kFigureColumn,
                       v.threshold);
    if (v.grade == Grade::good) continue;
    const std::string place = v.place();
    out += fmt::format("{:<21}{}{}{}\n", "", place, place.empty() ? "" : ": ", printable(v.cause));
  }
  if (facts.comparison) out += "\n" + growth_text(*facts.comparison);
  return out + "\n" + printable(diagnosis.conclusion(), 400) + "\n";
}

std::string diagnosis_json(const DiagnosisFacts& facts, const Diagnosis& diagnosis, bool ascii) {
  Json json = {{"schema", kSchemaVersion},
               {"file", facts.file},
               {"model", facts.model},
               {"device", facts.device},
               {"prompt_tokens", facts.n_prompt},
               {"decoded_tokens", facts.n_decoded},
               {"healthy", diagnosis.is_healthy()},
               {"conclusion", diagnosis.conclusion()},
               {"verdicts", Json::array()}};
  for (const Verdict& v : diagnosis.verdicts) json["verdicts"].push_back(verdict_json(v));
  if (facts.comparison) {
    Json growth = Json::array();
    for (const double e : facts.comparison->by_layer)
      growth.push_back(e < 0 ? Json(nullptr) : number_or_text(e));
    json["error_by_layer"] = std::move(growth);
  }
  return dump_json(json, ascii, true);
}

}  // namespace haikuda
