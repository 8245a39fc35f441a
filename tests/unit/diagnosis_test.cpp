#include <cstdio>
#include <fstream>

#include <fmt/format.h>

#include "app/diagnosis_text.h"
#include "cpu/cpu_backend.h"
#include "inspect/report.h"
#include "inspect/trace_recorder.h"
#include "support/catch.h"
#include "support/diagnosed.h"
#include "support/expect_error.h"
#include "support/nmse.h"
#include "support/skip_slow.h"
#include "support/temp_dir.h"

namespace haikuda::test {
namespace {

const std::vector<int> kPrompt = {72, 101, 300, 17, 250, 9};
const GeneratedText kNoText = {"", 0};

std::unique_ptr<Backend> cpu_backend(const Model& model) {
  return make_cpu_backend(model, {.n_ctx = kExaminedTokens, .n_threads = 1});
}

// The CPU backend, where no fault is planted into the computation.
const Examiner kCpu = {.make_backend =
                           [](const Model& model, Fault fault) {
                             return fault == Fault::none
                                        ? cpu_backend(model)
                                        : make_sick_backend(model, kExaminedTokens, fault);
                           },
                       .prompt = kPrompt};
const Examiner kImitatedGpu = {.make_backend =
                                   [](const Model& model, Fault fault) {
                                     return make_sick_backend(model, kExaminedTokens, fault,
                                                              Imitated::gpu);
                                   },
                               .prompt = kPrompt,
                               .rounding = kHalfRounding,
                               .comparison = kHalfComparison,
                               .half_cache = true};

Diagnosis diagnose_on_cpu(const Model& model, Backend& backend) {
  return diagnose_on(kCpu, model, backend);
}

}  // namespace

TEST_CASE("diagnosis: every patient is flagged", "[patients]") {
  const bool on_gpu = GENERATE(false, true);
  const Examiner& examiner = on_gpu ? kImitatedGpu : kCpu;
  const std::string title = on_gpu ? "\nrounded and shown as on a GPU:\n" : "";
  PatientTable table, other;
  for (const Patient& p : all_patients()) table.add(p, diagnose_patient(examiner, p), on_gpu);
  for (const Patient& p : device_patients()) other.add(p, diagnose_patient(examiner, p), on_gpu);
  std::fputs((title + table.text()).c_str(), stdout);
  std::fputs(("\n" + title + other.text()).c_str(), stdout);
  REQUIRE(table.n() >= 20);
  for (const PatientTable* t : {&table, &other}) {
    CHECK(t->n_flagged() == t->n());
    CHECK(t->n_located() == t->n());
  }
}

// The bug that this project's predecessor looked for in its prints: the output matrix of GGUF, row
// by row, handed to a column-major library without transposing it.
TEST_CASE("diagnosis: the transpose bug, as a user sees it", "[patients]") {
  const Loaded sound(make_tiny_model({.n_embd = 64, .n_ff = 96}));
  const auto backend = make_sick_backend(sound.model, kExaminedTokens, Fault::untransposed_output);
  const Diagnosis d = diagnose_on_cpu(sound.model, *backend);
  const DiagnosisFacts facts{"tiny.gguf",
                             sound.model.description(),
                             backend->device_name(),
                             static_cast<int>(kPrompt.size()),
                             4,
                             std::nullopt};
  const std::string text = diagnosis_text(facts, d);
  std::fputs(text.c_str(), stdout);
  CHECK(d.count(Grade::red) == 1);
  CHECK_THAT(text,
             contains_text("not healthy: logits, position 5: the matrix is used untransposed, "
                           "with the wrong leading dimension"));
}

TEST_CASE("diagnosis: the injector without a fault is the CPU backend", "[patients]") {
  const Loaded sound(make_tiny_model({.n_embd = 64, .n_ff = 96}));
  const auto reference = cpu_backend(sound.model);
  const auto backend = make_sick_backend(sound.model, kExaminedTokens, Fault::none);
  reference->append(kPrompt);
  backend->append(kPrompt);
  const auto got = backend->logits(), want = reference->logits();
  REQUIRE(nmse(got, want) < 1e-10);
  INFO(flags_of(diagnose_on_cpu(sound.model, *backend)));
  CHECK(diagnose_on_cpu(sound.model, *backend).is_healthy());
}

TEST_CASE("diagnosis: healthy models of every type are healthy", "[diagnosis]") {
  for (const char* architecture : {"qwen2", "qwen3", "llama"})
    for (const DTypeInfo& type : all_dtypes()) {
      INFO(architecture << " " << type.name);
      const Loaded model(make_tiny_model({.architecture = architecture,
                                          .dtype = type.dtype,
                                          .n_embd = 256,
                                          .head_dim = 64,
                                          .n_ff = 256,
                                          .tied = type.dtype != DType::F16}));
      const auto backend = cpu_backend(model.model);
      const Examination exam = examine(*backend, model.model.config, kPrompt, 3);
      const Diagnosis d = diagnose({model.model, exam, kExactRounding}, kNoText);
      INFO(flags_of(d));
      CHECK(d.is_healthy());
      for (const Verdict& v : d.verdicts)
        if (v.group != "output") CHECK(v.grade == Grade::good);
    }
}

TEST_CASE("diagnosis: healthy models that are rounded as on a GPU are healthy", "[diagnosis]") {
  for (const char* architecture : {"qwen2", "qwen3", "llama"})
    for (const DTypeInfo& type : all_dtypes()) {
      INFO(architecture << " " << type.name);
      const Loaded model(make_tiny_model({.architecture = architecture,
                                          .dtype = type.dtype,
                                          .n_embd = 256,
                                          .head_dim = 64,
                                          .n_ff = 256,
                                          .tied = type.dtype != DType::F16}));
      const auto backend = kImitatedGpu.make_backend(model.model, Fault::none);
      const Examination exam = examine(*backend, model.model.config, kPrompt, 3);
      Diagnosis d = diagnose({model.model, exam, kHalfRounding}, kNoText);
      d.add(compare_runs(model.model.config, exam.run, cpu_run(kImitatedGpu, model.model, exam),
                         kHalfComparison)
                .verdict());
      INFO(flags_of(d));
      CHECK(d.is_healthy());
      for (const Verdict& v : d.verdicts)
        if (v.group != "output") CHECK(v.grade == Grade::good);
    }
}

TEST_CASE("diagnosis: a scaled RoPE is healthy", "[diagnosis]") {
  for (const TinyRope rope : {TinyRope::linear, TinyRope::yarn, TinyRope::llama3}) {
    const Loaded model(
        make_tiny_model({.architecture = rope == TinyRope::llama3 ? "llama" : "qwen2",
                         .n_embd = 64,
                         .n_ff = 96,
                         .rope = rope}));
    const Diagnosis d = diagnose_on_cpu(model.model, *cpu_backend(model.model));
    INFO(flags_of(d));
    CHECK(d.is_healthy());
  }
}

TEST_CASE("diagnosis: SmolLM2 is healthy", "[smollm2]") {
  HAIKUDA_SKIP_SLOW();
  const char* home = std::getenv("HOME");
  const std::string path =
      std::string(home == nullptr ? "" : home) + "/.cache/haikuda/models/smollm2-135m.gguf";
  if (!std::ifstream(path)) HAIKUDA_SKIP("scripts/fetch_model.sh smollm2-135m fetches the model");
  const Model model(open_model_files(path));
  const Diagnosis d = diagnose_on_cpu(model, *cpu_backend(model));
  INFO(flags_of(d));
  CHECK(d.is_healthy());
  CHECK(d.count(Grade::warning) == 0);
}

TEST_CASE("diagnosis: a trace is read back and compared", "[diagnosis]") {
  const Loaded sound(make_tiny_model({.n_embd = 64, .n_ff = 96}));
  const TempDir dir;
  const std::string path = dir.file("trace.jsonl");
  const auto backend = cpu_backend(sound.model);
  TraceRecorder recorder(path, {}, sound.model, {"test", backend->device_name(), kPrompt});
  backend->set_probe(&recorder);
  backend->append(kPrompt);
  recorder.finish();
  OtherRun trace = read_trace(path, sound.model.config);
  CHECK(trace.prompt == kPrompt);
  CHECK(trace.continuation.empty());
  const auto again = cpu_backend(sound.model);
  const Examination exam = examine(*again, sound.model.config, kPrompt, 1);
  const Comparison same = compare_runs(sound.model.config, exam.run, trace, kExactComparison);
  CHECK(same.n_rows > 100);
  CHECK_FALSE(same.first.has_value());

  const auto sick = make_sick_backend(sound.model, kExaminedTokens, Fault::no_v_bias);
  const Examination other = examine(*sick, sound.model.config, kPrompt, 1);
  const Comparison apart = compare_runs(sound.model.config, other.run, trace, kExactComparison);
  REQUIRE(apart.first.has_value());
  CHECK(apart.first->stage == Stage::v);
  CHECK(apart.first->layer == kSickLayer);
  CHECK(apart.by_layer[0] <= kExactComparison);
  CHECK(apart.by_layer[1] > kExactComparison);
}

TEST_CASE("diagnosis: a report escapes what a file says", "[diagnosis]") {
  CHECK(html_text("<script>&\"'</script>") == "&lt;script&gt;&amp;&quot;&#39;&lt;/script&gt;");
  CHECK(html_text("a\x1b\xff") == "a\\x1b\\xff");
  const Loaded sound(make_tiny_model({.n_embd = 64, .n_ff = 96}));
  const auto backend = cpu_backend(sound.model);
  const Examination exam = examine(*backend, sound.model.config, kPrompt, 3);
  const Diagnosis d = diagnose({sound.model, exam, kExactRounding}, kNoText);
  const std::optional<Comparison> none;
  const std::string html =
      html_report({sound.model, exam, d, none, "a <device>", "haikuda",
                   [](int id) { return "<b onclick=x>" + std::to_string(id); }});
  CHECK(html.find("<b onclick") == std::string::npos);
  CHECK(html.find("a <device>") == std::string::npos);
  CHECK(html.find("http") == std::string::npos);
  CHECK_THAT(html, contains_text("&lt;b onclick=x&gt;72"));
  CHECK_THAT(html, contains_text("prefers-color-scheme: dark"));
  CHECK_THAT(html, contains_text("<polyline class=curve"));
  CHECK_THAT(html, contains_text("layer 1, head 3"));
}

TEST_CASE("diagnosis: a file that is no trace", "[diagnosis]") {
  const Loaded sound(make_tiny_model({.n_embd = 64, .n_ff = 96}));
  const TempDir dir;
  for (const char* text : {"", "{}", "[1]", "{\"format\":\"haikuda-trace\",\"version\":99}", "x"}) {
    const std::string path = dir.write("t", text);
    CHECK(error_of([&] { read_trace(path, sound.model.config); }).code() == ExitCode::io);
  }
  CHECK(error_of([&] { read_trace(dir.file("no"), sound.model.config); }).code() == ExitCode::io);
}

}  // namespace haikuda::test
