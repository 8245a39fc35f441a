// The trace recorder: the file's lines, and the same lines from Hugging Face transformers
// (golden/trace/README.md).
#include "inspect/trace_recorder.h"

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>

#include <nlohmann/json.hpp>

#include "cpu/cpu_backend.h"
#include "inspect/stage_stats.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/nmse.h"
#include "support/temp_dir.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

using nlohmann::json;

constexpr double kNmseBar = 1e-6;

struct Trace {
  json header;
  std::vector<json> lines;
};

Trace read_trace(const std::string& path) {
  std::ifstream file(path);
  Trace out;
  for (std::string line; std::getline(file, line);)
    if (out.header.is_null())
      out.header = json::parse(line);
    else
      out.lines.push_back(json::parse(line));
  return out;
}

// The trace of tokens that are appended one by one, so that the logits of all are there.
Trace trace_of(const Model& model, const std::vector<int>& tokens, const TraceFilter& filter) {
  const TempDir folder;
  const auto backend = make_cpu_backend(model, {.n_ctx = 64, .n_threads = 1});
  TraceRecorder recorder(folder.file("t"), filter, model, {"test", "CPU", tokens});
  backend->set_probe(&recorder);
  for (const int token : tokens) backend->append({&token, 1});
  recorder.finish();
  return read_trace(folder.file("t"));
}

struct Tiny {
  Tiny()
      : bytes(make_tiny_model({.n_embd = 64, .n_ff = 96})),
        model(open_model_bytes(bytes, "tiny")) {}
  std::vector<std::byte> bytes;
  Model model;
};

const std::vector<int> kTokens = {40, 3, 40};

TEST_CASE("index set: numbers and ranges", "[trace]") {
  const IndexSet set = IndexSet::parse("0-1,23", "--x");
  for (const int in : {0, 1, 23}) CHECK(set.contains(in));
  for (const int out : {2, 22, 24}) CHECK_FALSE(set.contains(out));
  CHECK(set.intersects(2, 22));
  CHECK_FALSE(set.intersects(2, 21));
  CHECK(set.max() == 23);
  CHECK(IndexSet::parse("all", "--x").contains(1 << 30));
  CHECK_FALSE(IndexSet().contains(0));
  for (const char* bad : {"", "x", "1-", "-1", "3-2", "1,,2", "1,", "2-3-4", "99999999999", " 1"}) {
    const Error error = error_of([&] { (void)IndexSet::parse(bad, "--x"); });
    CHECK(error.code() == ExitCode::usage);
    CHECK_THAT(error.what(), contains_text("--x"));
  }
}

TEST_CASE("trace filter: stages by name, layers and heads of the model", "[trace]") {
  CHECK(parse_stages("all", "--x").empty());
  CHECK(parse_stages("q,k_rope", "--x") == std::set<Stage>{Stage::q, Stage::k_rope});
  const Error error = error_of([] { (void)parse_stages("q,attention", "--x"); });
  CHECK_THAT(error.what(), contains_text("'attention'") && contains_text("attn_weights"));
  const Tiny tiny;
  TraceFilter filter;
  filter.layers = IndexSet::parse("0-2", "--x");
  CHECK_THAT(error_of([&] { check_filter(filter, tiny.model.config); }).what(),
             contains_text("--trace-layers") && contains_text("0 to 1"));
  filter.layers = IndexSet::parse("0-1", "--x");
  check_filter(filter, tiny.model.config);
  filter.heads = IndexSet::parse("4", "--x");
  CHECK_THAT(error_of([&] { check_filter(filter, tiny.model.config); }).what(),
             contains_text("--trace-heads") && contains_text("0 to 3"));
}

TEST_CASE("stage stats: of finite values, zeros and others counted", "[trace]") {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {0, -3, nan, 4, inf, -0.0f, 4, -3};
  const StageStats s = stage_stats(values);
  CHECK((s.min == -3 && s.min_index == 1 && s.max == 4 && s.max_index == 3));
  CHECK((s.n_zeros == 2 && s.n_non_finite == 2));
  CHECK(s.mean == Approx(2.0 / 6));
  CHECK(s.rms == Approx(std::sqrt(50.0 / 6)));
  CHECK(greatest(values, 3) == std::vector<std::pair<int, float>>{{3, 4.0f}, {6, 4.0f}, {0, 0.0f}});
  CHECK(std::isnan(stage_stats({&nan, 1}).rms));
}

TEST_CASE("trace: header, and one line a stage and position", "[trace]") {
  const Tiny tiny;
  const Trace trace = trace_of(tiny.model, kTokens, {});
  CHECK(trace.header["format"] == "haikuda-trace");
  CHECK(trace.header["version"] == kTraceVersion);
  CHECK(trace.header["tokens"] == json(kTokens));
  CHECK(trace.header["shapes"]["n_layers"] == 2);
  CHECK(trace.lines.size() == 3 * (5 + 2 * 19 + 2));  // no norms of heads in qwen2, none sampled
  for (const json& line : trace.lines) {
    CAPTURE(line.dump());
    REQUIRE(find_stage(line["stage"].get<std::string>()));
    CHECK(line["layer"].is_null() != is_of_layer(*find_stage(line["stage"].get<std::string>())));
    std::size_t size = 1;
    for (const json& dim : line["shape"]) size *= dim.get<std::size_t>();
    CHECK(line["values"].size() == std::min<std::size_t>(size, 10));
    if (line["dtype"] == "I32") continue;
    CHECK(line["min"].get<double>() <= line["mean"].get<double>() + 1e-6);
    CHECK(line["mean"].get<double>() <= line["max"].get<double>() + 1e-6);
    CHECK(line["non_finite"] == 0);
  }
  const json& logits = trace.lines.back();
  CHECK(logits["stage"] == "logits");
  CHECK(logits["top"].size() == 10);
  CHECK(logits["top"][0][0] == logits["max_id"]);
  CHECK(logits["top"][0][1] == logits["max"]);
}

TEST_CASE("trace: layers, positions, stages, values and heads are chosen", "[trace]") {
  const Tiny tiny;
  TraceFilter filter;
  filter.layers = IndexSet::parse("1", "--x");
  filter.positions = IndexSet::parse("1-2", "--x");
  filter.stages = parse_stages("attn_weights,ffn_up,tokens", "--x");
  filter.n_values = -1;
  filter.heads = IndexSet::parse("0,3", "--x");
  const Trace trace = trace_of(tiny.model, kTokens, filter);
  REQUIRE(trace.lines.size() == 6);
  const json &token = trace.lines[0], &weights = trace.lines[1], &up = trace.lines[2];
  CHECK((token["stage"] == "tokens" && token["position"] == 1 && token["values"] == json({3})));
  CHECK((weights["stage"] == "attn_weights" && weights["layer"] == 1));
  CHECK(weights["shape"] == json({4, 2}));
  REQUIRE(weights["values"].size() == 8);
  REQUIRE(weights["heads"].size() == 2);
  CHECK(weights["heads"]["3"] == json({weights["values"][6], weights["values"][7]}));
  CHECK((up["stage"] == "ffn_up" && up["values"].size() == 96 && !up.contains("heads")));
}

TEST_CASE("trace: numbers are read back as they were, others are words", "[trace]") {
  const Tiny tiny;
  const TempDir folder;
  const std::vector<float> values = {
      0.1f, 1e-30f, -3.4e38f, std::nanf(""), -std::numeric_limits<float>::infinity(), 16777216};
  TraceFilter filter;
  filter.n_values = -1;
  TraceRecorder recorder(folder.file("t"), filter, tiny.model, {"test", "CPU", kTokens});
  recorder.show(
      {.stage = Stage::ffn_up, .layer = 0, .n_rows = 1, .row_shape = {6}, .values = values});
  recorder.finish();
  const json got = read_trace(folder.file("t")).lines.at(0);
  for (const std::size_t i : {0u, 1u, 2u, 5u}) CHECK(got["values"][i].get<float>() == values[i]);
  CHECK((got["values"][3] == "nan" && got["values"][4] == "-inf" && got["non_finite"] == 2));
}

TEST_CASE("trace: what cannot be written is an error of output", "[trace]") {
  const Tiny tiny;
  const TraceRun run{"test", "CPU", kTokens};
  CHECK(error_of([&] { TraceRecorder("/no/such/folder/t", {}, tiny.model, run); }).code() ==
        ExitCode::io);
  if (!std::filesystem::exists("/dev/full")) return;
  const Error error = error_of([&] {
    TraceRecorder recorder("/dev/full", {}, tiny.model, run);
    recorder.finish();
  });
  CHECK(error.code() == ExitCode::io);
  CHECK_THAT(error.what(), contains_text("/dev/full"));
}

std::string key_of(const json& line) {
  return line["stage"].get<std::string>() + " " + line["layer"].dump() + " " +
         line["position"].dump();
}

TEST_CASE("trace: every stage agrees with transformers", "[trace][parity]") {
  const std::string name = GENERATE(as<std::string>{}, "qwen2-q8_0", "qwen2-q4_1-yarn",
                                    "qwen3-q5_1", "llama-f16-llama3", "llama-q8_0-linear");
  CAPTURE(name);
  const auto goldens = std::filesystem::path(HAIKUDA_TEST_DIR) / "golden";
  const Trace want = read_trace((goldens / "trace" / (name + ".jsonl")).string());
  REQUIRE(want.lines.size() > 50);
  const Model model(open_model_files((goldens / "parity" / (name + ".gguf")).string()));
  TraceFilter filter;
  filter.n_values = 8;
  filter.positions = IndexSet::parse("0,3", "--x");
  const Trace got = trace_of(model, want.header["tokens"].get<std::vector<int>>(), filter);
  std::map<std::string, json> lines;
  for (const json& line : got.lines) lines[key_of(line)] = line;
  REQUIRE(lines.size() == want.lines.size());
  for (const json& line : want.lines) {
    CAPTURE(key_of(line));
    const json& ours = lines.at(key_of(line));
    CHECK(ours["shape"] == line["shape"]);
    if (line["dtype"] == "I32") {
      CHECK(ours["values"] == line["values"]);
      continue;
    }
    CHECK_THAT(ours["values"].get<std::vector<float>>(),
               NmseBelow(line["values"].get<std::vector<float>>(), kNmseBar));
    CHECK(ours["rms"].get<double>() == Approx(line["rms"].get<double>()).epsilon(1e-4));
    if (line.contains("top")) CHECK(ours["max_id"] == line["max_id"]);
  }
}

}  // namespace
}  // namespace haikuda::test
