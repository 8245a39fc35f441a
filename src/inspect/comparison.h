// Two runs of the same tokens, stage by stage: where they part by more than rounding.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "inspect/diagnosis.h"
#include "inspect/stage_rows.h"
#include "model/model.h"

namespace haikuda {

// What another device, another file or another program computed.
struct OtherRun {
  std::string name;
  std::vector<int> prompt, continuation;      // what it computed on
  StageRows rows;                             // of a trace: the first values of each row
  std::map<StageRows::Key, double> rms = {};  // of a trace: of the whole row
  bool is_half = false;                       // it computes or caches in F16
};

// Reads a trace, version 1 (README.md here). Throws Error(io) for a file that cannot be read or is
// no trace, Error(usage) for one of a model of another shape.
OtherRun read_trace(const std::string& path, const ModelConfig& config);

struct Parting {
  Stage stage{};
  int layer = -1, position = -1, head = -1;
  double error = 0;  // NMSE
};

struct Comparison {
  std::string name;  // of the other run
  double bound = 0;  // NMSE that rounding explains where nothing magnifies it (chain_bound.h)
  int n_rows = 0;    // that both have
  double greatest = 0;
  std::optional<Parting> first;  // in the order of the computation
  std::vector<double> by_layer;  // the greatest of each layer's residual; -1: not compared

  Verdict verdict() const;
};
constexpr double kExactComparison = 1e-6, kHalfComparison = 1e-3;

Comparison compare_runs(const ModelConfig& config,
                        const StageRows& run,
                        const OtherRun& other,
                        double bound);

}  // namespace haikuda
