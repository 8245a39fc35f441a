#include "app/bench/bench_report.h"

#include <cmath>

#include <fmt/format.h>

#include "app/json_text.h"
#include "app/statistics.h"

namespace haikuda {
namespace {

constexpr double kGiga = 1e9;

double rounded(double value, double digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}
double milliseconds(double s) {
  return rounded(s * 1e3, 4);
}
std::int64_t nanoseconds(double s) {
  return std::llround(s * 1e9);
}

double percent_of_bandwidth(const BenchFacts& facts, double bytes_per_s) {
  return 100 * bytes_per_s / facts.read_bytes_per_s;
}

// --- Keys of llama-bench, in its order; those that have no meaning here are left out. ---

void add_llama_keys(Json& out, const BenchFacts& f, const BenchRow& row) {
  out["build_commit"] = f.version;
  out["build_number"] = 0;
  out["cpu_info"] = f.cpu_info;
  out["gpu_info"] = f.gpu_info;
  out["backends"] = f.backend();
  out["model_filename"] = f.model_file;
  out["model_type"] = f.model_type;
  out["model_size"] = f.model_bytes;
  out["model_n_params"] = f.n_params;
  out["n_batch"] = f.n_batch;
  out["n_ubatch"] = f.n_ubatch;
  out["n_threads"] = f.n_threads;
  out["type_k"] = f.kv_elem_bytes == 2 ? "f16" : "f32";
  out["type_v"] = out["type_k"];
  out["n_gpu_layers"] = f.on_gpu ? 99 : 0;
  out["split_mode"] = "none";
  out["main_gpu"] = f.gpu_index;
  out["use_mmap"] = true;
  out["embeddings"] = false;
  out["n_prompt"] = row.test.n_prompt;
  out["n_gen"] = row.test.n_gen;
  out["n_depth"] = row.test.n_depth;
  out["test_time"] = row.test_time;
  out["avg_ns"] = nanoseconds(mean(row.samples_s));
  out["stddev_ns"] = nanoseconds(standard_deviation(row.samples_s));
  out["avg_ts"] = rounded(mean(row.samples_ts()), 6);
  out["stddev_ts"] = rounded(standard_deviation(row.samples_ts()), 6);
}

void add_samples(Json& out, const BenchRow& row) {
  out["samples_ns"] = Json::array();
  for (const double s : row.samples_s) out["samples_ns"].push_back(nanoseconds(s));
  out["samples_ts"] = Json::array();
  for (const double ts : row.samples_ts()) out["samples_ts"].push_back(rounded(ts, 6));
}

// --- Our own ---

void add_latency(Json& out, const BenchRow& row) {
  const auto ttft = [&]() -> Json {
    if (row.first_token_s.empty()) return nullptr;
    return milliseconds(median(row.first_token_s));
  };
  const auto itl = [&](double p) -> Json {
    if (row.gaps_s.empty()) return nullptr;
    return milliseconds(percentile(row.gaps_s, p));
  };
  out["ttft_ms"] = ttft();
  out["itl_p50_ms"] = itl(0.50);
  out["itl_p90_ms"] = itl(0.90);
  out["itl_p99_ms"] = itl(0.99);
  out["itl_max_ms"] = itl(1);
}

void add_bandwidth(Json& out, const BenchFacts& f, const BenchRow& row) {
  const auto read = row.read_bytes_per_s();
  out["bytes_per_token"] =
      row.bytes_per_token > 0 ? Json(std::llround(row.bytes_per_token)) : Json();
  out["read_gb_per_s"] = read ? Json(rounded(*read / kGiga, 3)) : Json();
  out["device_read_gb_per_s"] = rounded(f.read_bytes_per_s / kGiga, 3);
  out["percent_of_device_read"] = read ? Json(rounded(percent_of_bandwidth(f, *read), 2)) : Json();
  out["test_bytes"] = std::llround(row.cost.bytes);
  out["test_flops"] = std::llround(row.cost.flops);
}

void add_our_keys(Json& out, const BenchFacts& f, const BenchRow& row) {
  out["schema"] = kSchemaVersion;
  out["test"] = test_name(row.test);
  out["e2e"] = row.test.e2e;
  out["n_warmup"] = row.warm_up.n_runs;
  out["warmup_stable"] = row.warm_up.is_stable;
  out["median_ts"] = rounded(row.median_ts(), 6);
  out["spread_percent"] = rounded(row.spread_percent(), 3);
  add_latency(out, row);
  add_bandwidth(out, f, row);
  out["load_ms"] = milliseconds(f.load_s);
  out["first_prompt"] = f.ttft_prompt;
  out["first_ttft_cold_ms"] = milliseconds(f.ttft_cold_s);
  out["first_ttft_warm_ms"] = milliseconds(f.ttft_warm_s);
  out["n_ctx"] = f.n_ctx;
  out["kv_bytes"] = f.kv_bytes;
  out["device_bytes"] = f.device_bytes;
  out["greedy_hash"] = token_hash(f.greedy_tokens);
  out["baseline_ts"] = row.baseline_ts ? Json(rounded(*row.baseline_ts, 6)) : Json();
}

Json row_json(const BenchFacts& facts, const BenchRow& row) {
  Json out;
  add_llama_keys(out, facts, row);
  add_samples(out, row);
  add_our_keys(out, facts, row);
  out["greedy_tokens"] = facts.greedy_tokens;
  return out;
}

std::string csv_cell(const Json& value) {
  std::string text = value.is_null()     ? ""
                     : value.is_string() ? value.get<std::string>()
                                         : value.dump();
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + "\"";
}

}  // namespace

std::vector<double> BenchRow::samples_ts() const {
  std::vector<double> out;
  for (const double s : samples_s) out.push_back((test.n_prompt + test.n_gen) / s);
  return out;
}

double BenchRow::median_ts() const {
  return median(samples_ts());
}

double BenchRow::spread_percent() const {
  return 100 * standard_deviation(samples_ts()) / mean(samples_ts());
}

std::optional<double> BenchRow::read_bytes_per_s() const {
  if (test.n_prompt > 0 || test.n_gen == 0) return std::nullopt;
  return bytes_per_token * median_ts();
}

BenchRow make_row(const BenchResult& result, const BenchCost& cost, double bytes_per_token) {
  BenchRow row{result.test, result.test_time, result.warm_up, {}, {}, {}, cost, bytes_per_token,
               {}};
  for (const BenchTimes& times : result.repetitions) {
    row.samples_s.push_back(times.total_s);
    row.gaps_s.insert(row.gaps_s.end(), times.gaps_s.begin(), times.gaps_s.end());
    if (row.test.n_prompt > 0) row.first_token_s.push_back(times.first_token_s);
  }
  return row;
}

std::string token_hash(const std::vector<int>& ids) {
  return fmt::format("fnv1a64:{:016x}", hash_tokens(ids));
}

std::string bench_csv(const BenchFacts& facts, const std::vector<BenchRow>& rows) {
  std::string out;
  for (const BenchRow& row : rows) {
    Json cells;
    add_llama_keys(cells, facts, row);
    add_our_keys(cells, facts, row);
    std::string names, values;
    for (const auto& [key, value] : cells.items()) {
      names += (names.empty() ? "" : ",") + key;
      values += (values.empty() ? "" : ",") + csv_cell(value);
    }
    if (out.empty()) out = names + "\n";
    out += values + "\n";
  }
  return out;
}

std::string bench_json(const BenchFacts& facts, const std::vector<BenchRow>& rows, bool ascii) {
  Json out = Json::array();
  for (const BenchRow& row : rows) out.push_back(row_json(facts, row));
  return dump_json(out, ascii, true);
}

std::string bench_jsonl(const BenchFacts& facts, const std::vector<BenchRow>& rows, bool ascii) {
  std::string out;
  for (const BenchRow& row : rows) out += dump_json(row_json(facts, row), ascii);
  return out;
}

}  // namespace haikuda
