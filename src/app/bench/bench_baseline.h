// --baseline: an earlier run's JSON, against which this one is held.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/bench/bench_report.h"

namespace haikuda {

struct BaselineRow {
  BenchTest test;
  double median_ts = 0;
};

struct Baseline {
  std::string path;
  std::string model_type, backend, device;  // device: the name of the GPU or the processor
  std::uint64_t model_bytes = 0, n_params = 0;
  int n_threads = 0;
  std::string greedy_hash;  // empty: the file has none, as llama-bench's
  std::vector<BaselineRow> rows;
};

// Reads what -o json or jsonl wrote. Throws Error(io) for a file that cannot be read, Error(usage)
// for one that is not such JSON.
Baseline parse_baseline(const std::string& path, const std::string& text);
// Throws Error(usage), naming both sides, when the model or the device is another one or a test is
// missing from the baseline; before anything is measured.
void check_comparable(const Baseline& baseline,
                      const BenchFacts& facts,
                      const std::vector<BenchTest>& tests);
// Sets baseline_ts of each row.
void compare(const Baseline& baseline, std::vector<BenchRow>& rows);
// Throws Error(slower) naming each row whose median is below that percentage of the baseline's.
void check_speed(const std::vector<BenchRow>& rows, double fail_below_percent);

}  // namespace haikuda
