// What haikuda bench prints: llama-bench's columns and keys, then our own. bench.schema.json
// describes the JSON.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "app/bench/bench_cost.h"
#include "app/bench/bench_measure.h"

namespace haikuda {

// What all rows share.
struct BenchFacts {
  std::string version, cpu_info, gpu_info;  // gpu_info: empty on the CPU
  std::string model_file, model_type;       // model_type: as "qwen2 0.49B Q8_0"
  std::uint64_t model_bytes = 0, n_params = 0;
  int n_batch = 0, n_ubatch = 0, n_threads = 0;
  bool on_gpu = false;
  int gpu_index = 0;
  int kv_elem_bytes = 2;
  int n_ctx = 0;  // positions of the cache
  std::uint64_t kv_bytes = 0, device_bytes = 0;
  double read_bytes_per_s = 0;  // what the device's memory was measured to give
  double load_s = 0;
  int ttft_prompt = 0;                      // tokens of the prompt of the two times below
  double ttft_cold_s = 0, ttft_warm_s = 0;  // the cold one includes load_s
  std::vector<int> greedy_tokens;

  std::string backend() const { return on_gpu ? "CUDA" : "CPU"; }
};

struct BenchRow {
  BenchTest test;
  std::string test_time;
  WarmUp warm_up;
  std::vector<double> samples_s;  // of each repetition
  std::vector<double> gaps_s;     // between tokens, of all repetitions; empty without generation
  std::vector<double> first_token_s;  // of each repetition; empty without a prompt
  BenchCost cost;                     // of one repetition
  double bytes_per_token = 0;         // of a token of the generation; 0 without one
  std::optional<double> baseline_ts;  // the median of --baseline

  std::vector<double> samples_ts() const;  // tokens/s
  double median_ts() const;
  double spread_percent() const;  // standard deviation / mean
  // Of a generation alone, where a token's time is the reading of its bytes.
  std::optional<double> read_bytes_per_s() const;
};

BenchRow make_row(const BenchResult& result, const BenchCost& cost, double bytes_per_token);

std::string bench_markdown(const BenchFacts& facts, const std::vector<BenchRow>& rows);
std::string bench_csv(const BenchFacts& facts, const std::vector<BenchRow>& rows);
// `ascii`: for a terminal, as dump_json.
std::string bench_json(const BenchFacts& facts, const std::vector<BenchRow>& rows, bool ascii);
std::string bench_jsonl(const BenchFacts& facts, const std::vector<BenchRow>& rows, bool ascii);

// "fnv1a64:0123456789abcdef"
std::string token_hash(const std::vector<int>& ids);

}  // namespace haikuda
