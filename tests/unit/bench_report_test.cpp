// What haikuda bench prints and compares, from times that are given, not measured.
#include "app/bench/bench_report.h"

#include <algorithm>
#include <string>
#include <vector>

#include "app/bench/bench_baseline.h"
#include "app/bench/bench_plot.h"
#include "app/bench/svg_chart.h"
#include "app/json_text.h"
#include "support/catch.h"
#include "support/expect_error.h"

namespace haikuda::test {
namespace {

BenchFacts some_facts() {
  BenchFacts f;
  f.version = "1.2.3";
  f.cpu_info = "A \"fast\" processor";
  f.model_file = "m.gguf";
  f.model_type = "qwen2 0.49B Q8_0";
  f.model_bytes = 525'000'000;
  f.n_params = 494'032'768;
  f.n_batch = f.n_ubatch = 128;
  f.n_threads = 2;
  f.kv_elem_bytes = 4;
  f.device_bytes = 3 << 20;
  f.read_bytes_per_s = 20e9;
  f.load_s = 0.25;
  f.ttft_prompt = 512;
  f.ttft_cold_s = 2.5;
  f.ttft_warm_s = 2;
  f.greedy_tokens = {1, 2, 3};
  return f;
}

BenchRow prompt_row() {
  const BenchResult result{
      {512, 0, 0}, "2026-01-02T03:04:05Z", {2, true}, {{2, 2, {}}, {2.5, 2.5, {}}}};
  return make_row(result, {1e9, 5e11}, 0);
}

BenchRow generation_row(int depth = 0, double slowdown = 1) {
  BenchResult result{{0, 4, depth}, "2026-01-02T03:04:06Z", {3, false}, {}};
  for (const double s : {1.0, 2.0, 1.25})
    result.repetitions.push_back({s * slowdown, 0.1, {s / 4, s / 4, s / 4, s / 4}});
  return make_row(result, {2e9, 2e9}, 5e8);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

Baseline baseline_of(const std::vector<BenchRow>& rows) {
  return parse_baseline("old.json", bench_json(some_facts(), rows, false));
}

}  // namespace

TEST_CASE("bench report: numbers of a row", "[app][bench]") {
  const BenchRow row = generation_row();
  CHECK(row.samples_ts() == std::vector<double>{4, 2, 3.2});
  CHECK(row.median_ts() == 3.2);
  CHECK(*row.read_bytes_per_s() == 3.2 * 5e8);
  CHECK(row.gaps_s.size() == 12);
  CHECK(row.first_token_s.empty());
  CHECK(prompt_row().first_token_s == std::vector<double>{2, 2.5});
  CHECK_FALSE(prompt_row().read_bytes_per_s());
}

TEST_CASE("bench report: markdown", "[app][bench]") {
  CHECK(
      bench_markdown(some_facts(), {prompt_row(), generation_row(16)}) ==
      R"(| model                          |       size |     params | backend    | threads |            test |                  t/s |
| ------------------------------ | ---------: | ---------: | ---------- | ------: | --------------: | -------------------: |
| qwen2 0.49B Q8_0               | 500.68 MiB |   494.03 M | CPU        |       2 |           pp512 |       230.40 ± 36.20 |
| qwen2 0.49B Q8_0               | 500.68 MiB |   494.03 M | CPU        |       2 |       tg4 @ d16 |          3.07 ± 1.01 |

|            test | median t/s | spread % |    ttft ms |  itl p50 |  itl p90 |  itl p99 | MB/token |     GB/s | % read |
| --------------: | ---------: | -------: | ---------: | -------: | -------: | -------: | -------: | -------: | -----: |
|           pp512 |     230.40 |    15.71 |   2250.000 |        - |        - |        - |        - |        - |      - |
|       tg4 @ d16 |       3.20 |    32.83 |          - |  312.500 |  500.000 |  500.000 |    500.0 |     1.60 |    8.0 |

haikuda 1.2.3 on A "fast" processor, 2 threads
load 0.250 s · first token of a prompt of 512 tokens 2500.0 ms cold (loading included), 2000.0 ms warm
device memory 3.00 MiB · measured read bandwidth 20.0 GB/s · 3 greedy tokens fnv1a64:fd1f0f4381eb0395
Each token is chosen (greedy) and detokenized within the time; llama-bench does neither.
ttft: to the first token, ms. itl: between two tokens, ms. % read: of the read bandwidth.
Not settled after the warm-up: tg4 @ d16.
)");
}

TEST_CASE("bench report: csv", "[app][bench]") {
  const std::string csv = bench_csv(some_facts(), {prompt_row(), generation_row()});
  const std::string header = csv.substr(0, csv.find('\n'));
  CHECK(header ==
        "build_commit,build_number,cpu_info,gpu_info,backends,model_filename,model_type,model_size,"
        "model_n_params,n_batch,n_ubatch,n_threads,type_k,type_v,n_gpu_layers,split_mode,main_gpu,"
        "use_mmap,embeddings,n_prompt,n_gen,n_depth,test_time,avg_ns,stddev_ns,avg_ts,stddev_ts,"
        "schema,test,e2e,n_warmup,warmup_stable,median_ts,spread_percent,ttft_ms,itl_p50_ms,"
        "itl_p90_ms,itl_p99_ms,itl_max_ms,bytes_per_token,read_gb_per_s,device_read_gb_per_s,"
        "percent_of_device_read,test_bytes,test_flops,load_ms,first_prompt,first_ttft_cold_ms,"
        "first_ttft_warm_ms,n_ctx,kv_bytes,device_bytes,greedy_hash,baseline_ts");
  CHECK_THAT(csv, contains_text("\"1.2.3\",\"0\",\"A \"\"fast\"\" processor\",\"\",\"CPU\","));
  CHECK_THAT(csv, contains_text("\"512\",\"0\",\"0\",\"2026-01-02T03:04:05Z\",\"2250000000\","));
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 3);
}

TEST_CASE("bench report: json", "[app][bench]") {
  const Json rows = Json::parse(bench_json(some_facts(), {prompt_row(), generation_row()}, false));
  REQUIRE(rows.size() == 2);
  const Json& p = rows[0];
  CHECK(p["avg_ns"] == 2'250'000'000);
  CHECK(p["stddev_ns"] == 353'553'391);
  CHECK(p["samples_ns"] == Json{2'000'000'000, 2'500'000'000});
  CHECK(p["samples_ts"] == Json{256.0, 204.8});
  CHECK(p["avg_ts"] == 230.4);
  CHECK(p["ttft_ms"] == 2250.0);
  CHECK(p["itl_p50_ms"].is_null());
  CHECK(p["bytes_per_token"].is_null());
  const Json& g = rows[1];
  CHECK(g["test"] == "tg4");
  CHECK(g["median_ts"] == 3.2);
  CHECK(g["itl_p50_ms"] == 312.5);
  CHECK(g["itl_p99_ms"] == 500.0);
  CHECK(g["read_gb_per_s"] == 1.6);
  CHECK(g["percent_of_device_read"] == 8.0);
  CHECK(g["warmup_stable"] == false);
  CHECK(g["greedy_tokens"] == Json{1, 2, 3});
  CHECK(g["baseline_ts"].is_null());
  const std::string lines = bench_jsonl(some_facts(), {prompt_row(), generation_row()}, false);
  CHECK(Json::parse(lines.substr(lines.find('\n') + 1)) == g);
}

TEST_CASE("baseline: the same run is as fast as itself", "[app][bench]") {
  std::vector<BenchRow> rows = {prompt_row(), generation_row()};
  const Baseline baseline = baseline_of(rows);
  CHECK_NOTHROW(check_comparable(baseline, some_facts(), {rows[0].test, rows[1].test}));
  compare(baseline, rows);
  CHECK(*rows[1].baseline_ts == Approx(3.2));
  CHECK_NOTHROW(check_speed(rows, 99.9));
  CHECK_THAT(bench_markdown(some_facts(), rows), contains_text("|       3.20 |     +0.0 |"));
}

TEST_CASE("baseline: a slower row is named with both speeds", "[app][bench]") {
  std::vector<BenchRow> rows = {prompt_row(), generation_row(0, 1.25)};
  compare(baseline_of({prompt_row(), generation_row()}), rows);
  CHECK_NOTHROW(check_speed(rows, 79));
  const Error error = error_of([&] { check_speed(rows, 81); });
  CHECK(error.code() == ExitCode::check_failed);
  CHECK_THAT(error.what(), contains_text("tg4: 2.56 tokens/s, 80.0 % of 3.20"));
  CHECK(std::string(error.what()).find("pp512") == std::string::npos);
}

TEST_CASE("baseline: lines, and llama-bench's rows without our fields", "[app][bench]") {
  const std::string lines = bench_jsonl(some_facts(), {prompt_row(), generation_row()}, false);
  CHECK(parse_baseline("old", lines).rows.size() == 2);
  const Baseline llama = parse_baseline(
      "old", R"([{"cpu_info":"c","gpu_info":"g","backends":"CUDA","model_type":"t","model_size":1,)"
             R"("model_n_params":2,"n_threads":2,"n_prompt":0,"n_gen":4,"n_depth":0,)"
             R"("samples_ts":[3,1,2]}])");
  CHECK(llama.device == "g");
  CHECK(llama.rows[0].median_ts == 2);
  CHECK(llama.greedy_hash.empty());
}

TEST_CASE("baseline: another model, device or set of rows is refused", "[app][bench]") {
  const std::vector<BenchRow> rows = {generation_row()};
  const std::string text = bench_json(some_facts(), rows, false);
  const auto refusal = [&](const std::string& from, const std::string& to) {
    const Baseline other = parse_baseline("old.json", replaced(text, from, to));
    const Error error = error_of([&] { check_comparable(other, some_facts(), {rows[0].test}); });
    CHECK(error.code() == ExitCode::usage);
    return std::string(error.what());
  };
  CHECK_THAT(refusal("qwen2 0.49B", "llama 7B"), contains_text("another model: llama 7B Q8_0"));
  CHECK_THAT(refusal("525000000", "525000001"), contains_text("another model"));
  CHECK_THAT(refusal("processor", "engine"), contains_text("measured on CPU A \"fast\" engine"));
  CHECK_THAT(refusal("\"n_threads\": 2", "\"n_threads\": 4"), contains_text("with 4 threads"));
  CHECK_THAT(refusal("\"n_gen\": 4", "\"n_gen\": 5"), contains_text("has no row tg4"));
  CHECK_THAT(refusal("\"n_depth\": 0", "\"n_depth\": 1"), contains_text("has no row tg4"));
}

TEST_CASE("baseline: what is no such JSON", "[app][bench]") {
  const char* text = GENERATE("", "x", "[]", "{}", "[1]", "[{\"n_prompt\":\"1\"}]", "{}\nx",
                              R"([{"model_type":1}])");
  CAPTURE(text);
  CHECK(error_of([&] { parse_baseline("old.json", text); }).code() == ExitCode::usage);
}

TEST_CASE("chart: round numbers", "[app][bench]") {
  CHECK(round_up(1) == 1);
  CHECK(round_up(1.1) == 2);
  CHECK(round_up(23) == Approx(50));
  CHECK(round_up(0.07) == Approx(0.1));
  CHECK(short_number(0) == "0");
  CHECK(short_number(1500) == "1.5k");
  CHECK(short_number(2e9) == "2G");
}

TEST_CASE("plot: a chart for generations, prompts and the roofline", "[app][bench]") {
  const std::string both =
      bench_plot(some_facts(), {prompt_row(), generation_row(), generation_row(64, 2)});
  for (const char* word : {">Generation, tokens/s<", ">Prompts, tokens/s<", ">Roofline, FLOP/s<",
                           ">tg4<", ">pp512<", "read 20 GB/s, measured", "A \"fast\" processor"})
    CHECK_THAT(both, contains_text(word));
  CHECK(both.find("nan") == std::string::npos);
  CHECK(both.find("inf") == std::string::npos);
  const std::string one = bench_plot(some_facts(), {generation_row()});
  CHECK(one.find(">Prompts") == std::string::npos);
}

}  // namespace haikuda::test
