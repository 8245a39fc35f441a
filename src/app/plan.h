// What a run would need, from the header of the model's file alone.
#pragma once

#include <optional>
#include <string>

#include "app/device.h"
#include "app/model_facts.h"
#include "app/options.h"
#include "model/model.h"

namespace haikuda {

struct Plan {
  ModelFacts model;
  Placement placement;
  std::optional<int> n_prompt;  // when a prompt was given
  std::uint64_t weight_bytes = 0, kv_bytes = 0, scratch_bytes = 0;

  std::uint64_t total_bytes() const { return weight_bytes + kv_bytes + scratch_bytes; }
};

Plan make_plan(const Model& model,
               const Options& options,
               const Placement& placement,
               std::optional<int> n_prompt);
std::string shortage_text(const Plan& plan);  // what does not fit, and what would
std::string plan_text(const Plan& plan);
std::string plan_json(const Plan& plan);  // indented, with its newline

}  // namespace haikuda
