// The tables of haikuda bench: llama-bench's, so that they can be put together, then what it has
// not.
#include <fmt/format.h>

#include "app/bench/bench_report.h"
#include "app/model_facts.h"
#include "app/statistics.h"

namespace haikuda {
namespace {

std::string parameters(std::uint64_t n) {
  const double value = static_cast<double>(n);
  return n < 1'000'000'000 ? fmt::format("{:.2f} M", value / 1e6)
                           : fmt::format("{:.2f} B", value / 1e9);
}

std::string sizes(std::uint64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 1024 ? fmt::format("{:.2f} MiB", mib) : fmt::format("{:.2f} GiB", mib / 1024);
}

std::string speed_table(const BenchFacts& f, const std::vector<BenchRow>& rows) {
  std::string out = fmt::format(
      "| {:<30} | {:>10} | {:>10} | {:<10} | {:>7} | {:>15} | {:>20} |\n"
      "| {:-<30} | {:->9}: | {:->9}: | {:-<10} | {:->6}: | {:->14}: | {:->19}: |\n",
      "model", "size", "params", "backend", f.on_gpu ? "ngl" : "threads", "test", "t/s", "", "", "",
      "", "", "", "");
  for (const BenchRow& row : rows) {
    const auto speeds = row.samples_ts();
    out += fmt::format("| {:<30} | {:>10} | {:>10} | {:<10} | {:>7} | {:>15} | {:>20} |\n",
                       f.model_type, sizes(f.model_bytes), parameters(f.n_params), f.backend(),
                       f.on_gpu ? 99 : f.n_threads, test_name(row.test),
                       fmt::format("{:.2f} ± {:.2f}", mean(speeds), standard_deviation(speeds)));
  }
  return out;
}

std::string latency_cells(const BenchRow& row) {
  const auto cell = [](const std::vector<double>& s, double p) {
    return s.empty() ? std::string("-") : fmt::format("{:.3f}", 1e3 * percentile(s, p));
  };
  return fmt::format(
      "{:>10} | {:>8} | {:>8} | {:>8}",
      row.first_token_s.empty() ? "-" : fmt::format("{:.3f}", 1e3 * median(row.first_token_s)),
      cell(row.gaps_s, 0.5), cell(row.gaps_s, 0.9), cell(row.gaps_s, 0.99));
}

std::string bandwidth_cells(const BenchFacts& f, const BenchRow& row) {
  const auto read = row.read_bytes_per_s();
  if (!read) return fmt::format("{:>8} | {:>8} | {:>6}", "-", "-", "-");
  return fmt::format("{:>8.1f} | {:>8.2f} | {:>6.1f}", row.bytes_per_token / 1e6, *read / 1e9,
                     100 * *read / f.read_bytes_per_s);
}

std::string detail_table(const BenchFacts& f, const std::vector<BenchRow>& rows) {
  const bool compared = rows.front().baseline_ts.has_value();
  std::string out = fmt::format(
      "| {:>15} | {:>10} | {:>8} | {:>10} | {:>8} | {:>8} | {:>8} | {:>8} | {:>8} | {:>6} |{}\n"
      "| {:->14}: | {:->9}: | {:->7}: | {:->9}: | {:->7}: | {:->7}: | {:->7}: | {:->7}: | {:->7}: "
      "| {:->5}: |{}\n",
      "test", "median t/s", "spread %", "ttft ms", "itl p50", "itl p90", "itl p99", "MB/token",
      "GB/s", "% read", compared ? fmt::format(" {:>10} | {:>8} |", "baseline", "change %") : "",
      "", "", "", "", "", "", "", "", "", "", compared ? " ---------: | -------: |" : "");
  for (const BenchRow& row : rows) {
    out += fmt::format("| {:>15} | {:>10.2f} | {:>8.2f} | {} | {} |", test_name(row.test),
                       row.median_ts(), row.spread_percent(), latency_cells(row),
                       bandwidth_cells(f, row));
    if (row.baseline_ts)
      out += fmt::format(" {:>10.2f} | {:>+8.1f} |", *row.baseline_ts,
                         100 * (row.median_ts() / *row.baseline_ts - 1));
    out += "\n";
  }
  return out;
}

std::string facts_text(const BenchFacts& f, const std::vector<BenchRow>& rows) {
  std::string unstable;
  for (const BenchRow& row : rows)
    if (row.warm_up.n_runs > 0 && !row.warm_up.is_stable)
      unstable += (unstable.empty() ? "" : ", ") + test_name(row.test);
  return fmt::format(
      "haikuda {} on {}\n"
      "load {:.3f} s · first token of a prompt of {} tokens {:.1f} ms cold (loading included), "
      "{:.1f} ms warm\n"
      "device memory {} · measured read bandwidth {:.1f} GB/s · {} greedy tokens {}\n"
      "Each token is chosen (greedy) and detokenized within the time; llama-bench does neither.\n"
      "ttft: to the first token, ms. itl: between two tokens, ms. % read: of the read "
      "bandwidth.\n{}",
      f.version, f.on_gpu ? f.gpu_info : fmt::format("{}, {} threads", f.cpu_info, f.n_threads),
      f.load_s, f.ttft_prompt, 1e3 * f.ttft_cold_s, 1e3 * f.ttft_warm_s,
      human_bytes(f.device_bytes), f.read_bytes_per_s / 1e9, f.greedy_tokens.size(),
      token_hash(f.greedy_tokens),
      unstable.empty() ? "" : "Not settled after the warm-up: " + unstable + ".\n");
}

}  // namespace

std::string bench_markdown(const BenchFacts& facts, const std::vector<BenchRow>& rows) {
  return speed_table(facts, rows) + "\n" + detail_table(facts, rows) + "\n" +
         facts_text(facts, rows);
}

}  // namespace haikuda
