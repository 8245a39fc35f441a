// What of a run goes into a trace.
#pragma once

#include <set>
#include <string>
#include <string_view>

#include "infer/probe.h"
#include "inspect/index_set.h"

namespace haikuda {

struct TraceFilter {
  IndexSet layers = IndexSet::all(), positions = IndexSet::all();
  std::set<Stage> stages;  // empty: all
  int n_values = 10;       // first values of a row; -1: all
  IndexSet heads;          // whose attention is written as a whole

  // As Probe::wants.
  bool wants(Stage stage, int layer, int position, int n_rows) const {
    return (stages.empty() || stages.count(stage) > 0) &&
           (!is_of_layer(stage) || layers.contains(layer)) &&
           positions.intersects(position, n_rows);
  }
};

// "q,k_rope" or "all", which is the empty set. Throws Error(usage) that begins with `flag` and
// lists the stages.
std::set<Stage> parse_stages(std::string_view text, const std::string& flag);
// Throws Error(usage) naming the flag of the command line for a layer or head that the model has
// not.
void check_filter(const TraceFilter& filter, const ModelConfig& config);

}  // namespace haikuda
