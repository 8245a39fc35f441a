#include "app/bench/bench_baseline.h"

#include <algorithm>

#include <fmt/format.h>

#include "app/json_text.h"
#include "app/statistics.h"
#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw Error(ExitCode::usage, fmt::format("--baseline '{}': {}", printable(path), why));
}

// An array, one object, or a line for each object.
Json read_rows(const std::string& path, const std::string& text) {
  Json all = Json::parse(text, nullptr, false);
  if (all.is_discarded()) {
    all = Json::array();
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      if (end > begin)
        all.push_back(Json::parse(text.begin() + static_cast<std::ptrdiff_t>(begin),
                                  text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false));
      begin = end + 1;
    }
  }
  if (all.is_object()) all = Json::array({all});
  const bool is_rows =
      all.is_array() && !all.empty() &&
      std::all_of(all.begin(), all.end(), [](const Json& j) { return j.is_object(); });
  if (!is_rows) fail(path, "is not what haikuda bench -o json or jsonl wrote");
  return all;
}

BaselineRow read_row(const Json& json) {
  BaselineRow row;
  row.test = {json.at("n_prompt").get<int>(), json.at("n_gen").get<int>(),
              json.at("n_depth").get<int>(), json.value("e2e", false)};
  const auto speeds = json.at("samples_ts").get<std::vector<double>>();
  row.median_ts = speeds.empty() ? 0 : median(speeds);
  return row;
}

std::string device_of(const std::string& backend, const std::string& cpu, const std::string& gpu) {
  return backend == "CPU" ? cpu : gpu;
}

std::string described(const std::string& type, std::uint64_t bytes, std::uint64_t n_params) {
  return fmt::format("{} ({} bytes, {} parameters)", printable(type), bytes, n_params);
}

void check_device(const Baseline& b, const BenchFacts& f) {
  const std::string device = device_of(f.backend(), f.cpu_info, f.gpu_info);
  if (b.backend != f.backend() || b.device != device)
    fail(b.path, fmt::format("was measured on {} {}, this is {} {}", printable(b.backend),
                             printable(b.device), f.backend(), printable(device)));
  if (!f.on_gpu && b.n_threads != f.n_threads)
    fail(b.path, fmt::format("was measured with {} threads, these are {}; -t sets their number",
                             b.n_threads, f.n_threads));
}

const BaselineRow* find_row(const Baseline& baseline, const BenchTest& test) {
  const auto at = std::find_if(baseline.rows.begin(), baseline.rows.end(),
                               [&](const BaselineRow& row) { return row.test == test; });
  return at == baseline.rows.end() ? nullptr : &*at;
}

}  // namespace

Baseline parse_baseline(const std::string& path, const std::string& text) {
  const Json all = read_rows(path, text);
  Baseline baseline;
  baseline.path = path;
  try {
    const Json& first = all.front();
    baseline.model_type = first.at("model_type").get<std::string>();
    baseline.model_bytes = first.at("model_size").get<std::uint64_t>();
    baseline.n_params = first.at("model_n_params").get<std::uint64_t>();
    baseline.backend = first.at("backends").get<std::string>();
    baseline.device = device_of(baseline.backend, first.at("cpu_info").get<std::string>(),
                                first.at("gpu_info").get<std::string>());
    baseline.n_threads = first.at("n_threads").get<int>();
    baseline.greedy_hash = first.value("greedy_hash", std::string());
    for (const Json& json : all) baseline.rows.push_back(read_row(json));
  } catch (const Json::exception& e) {
    fail(path,
         fmt::format("is not what haikuda bench -o json or jsonl wrote ({})", printable(e.what())));
  }
  return baseline;
}

void check_comparable(const Baseline& b, const BenchFacts& f, const std::vector<BenchTest>& tests) {
  if (b.model_type != f.model_type || b.model_bytes != f.model_bytes || b.n_params != f.n_params)
    fail(b.path, fmt::format("is of another model: {}, this is {}",
                             described(b.model_type, b.model_bytes, b.n_params),
                             described(f.model_type, f.model_bytes, f.n_params)));
  check_device(b, f);
  for (const BenchTest& test : tests) {
    const BaselineRow* row = find_row(b, test);
    if (row == nullptr) fail(b.path, fmt::format("has no row {}", test_name(test)));
    if (!(row->median_ts > 0)) fail(b.path, fmt::format("row {} has no speed", test_name(test)));
  }
}

void compare(const Baseline& baseline, std::vector<BenchRow>& rows) {
  for (BenchRow& row : rows) row.baseline_ts = find_row(baseline, row.test)->median_ts;
}

void check_speed(const std::vector<BenchRow>& rows, double fail_below_percent) {
  std::string slow;
  for (const BenchRow& row : rows) {
    const double percent = 100 * row.median_ts() / *row.baseline_ts;
    if (percent >= fail_below_percent) continue;
    slow += fmt::format("{}{}: {:.2f} tokens/s, {:.1f} % of {:.2f}", slow.empty() ? "" : "; ",
                        test_name(row.test), row.median_ts(), percent, *row.baseline_ts);
  }
  if (!slow.empty())
    throw Error(
        ExitCode::check_failed,
        fmt::format("slower than the baseline (--fail-below {} %): {}", fail_below_percent, slow));
}

}  // namespace haikuda
