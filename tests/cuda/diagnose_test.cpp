// What a diagnosis says of models on a GPU: nothing of healthy ones, the place of planted faults.
#include <cstdio>

#include <fmt/format.h>

#include "cuda/cuda_backend.h"
#include "sick_ops.h"
#include "support/catch.h"
#include "support/diagnosed.h"

namespace haikuda::test {
namespace {

// More than the 16 tokens that are multiplied one by one: prompts go through half.
std::vector<int> long_prompt() {
  std::vector<int> out;
  for (int i = 0; i < 24; ++i) out.push_back((37 * i + 11) % 300);
  return out;
}

const Examiner kCuda = {.make_backend =
                            [](const Model& model, Fault fault) {
                              plant(Fault::none, model.config.n_layers);
                              auto out = make_cuda_backend(model, {.n_ctx = kExaminedTokens});
                              plant(fault, model.config.n_layers);
                              return out;
                            },
                        .prompt = long_prompt(),
                        .rounding = kHalfRounding,
                        .comparison = kHalfComparison,
                        .half_cache = true};

bool can_be_planted(Fault fault) {
  return fault == Fault::rope_position_zero || fault == Fault::kv_slot_off_by_one ||
         fault == Fault::gqa_by_modulo || fault == Fault::no_attention_scale ||
         fault == Fault::mask_without_past;
}

// The greatest "NMSE x" of a group's figures.
double greatest_nmse(const Diagnosis& d, const std::string& group) {
  double out = 0, x = 0;
  for (const Verdict& v : d.verdicts)
    if (v.group == group && std::sscanf(v.figure.c_str(), "NMSE %lg", &x) == 1)
      out = std::max(out, x);
  return out;
}

// Healthy, also against the CPU.
void check_health(const std::string& name, const Model& model, const std::vector<int>& prompt) {
  Examiner examiner = kCuda;
  examiner.prompt = prompt;
  const auto backend = examiner.make_backend(model, Fault::none);
  const Examination exam = examine(*backend, model.config, prompt, 4);
  Diagnosis d = diagnose({model, exam, kHalfRounding}, {"", 0});
  const Comparison against =
      compare_runs(model.config, exam.run, cpu_run(examiner, model, exam), kHalfComparison);
  d.add(against.verdict());
  fmt::print("{:<16} {:<8} {:>9.2g} {:>9.2g} {:>9.2g}\n", name, d.is_healthy() ? "healthy" : "SICK",
             greatest_nmse(d, "stages"), greatest_nmse(d, "KV cache"), against.greatest);
  INFO(name << "\n" << flags_of(d));
  CHECK(d.is_healthy());
  for (const Verdict& v : d.verdicts)
    if (v.group != "output") CHECK(v.grade == Grade::good);
}

}  // namespace

TEST_CASE("diagnosis: healthy models of every type are healthy on cuda", "[cuda][diagnose]") {
  fmt::print("{:<16} {:<8} {:>9} {:>9} {:>9}   greatest NMSE\n", "model", "verdict", "stages",
             "cache", "the CPU");
  for (const char* architecture : {"qwen2", "qwen3", "llama"})
    for (const DTypeInfo& type : all_dtypes()) {
      const Loaded tiny(make_tiny_model({.architecture = architecture,
                                         .dtype = type.dtype,
                                         .n_embd = 256,
                                         .head_dim = 64,
                                         .n_ff = 256,
                                         .tied = type.dtype != DType::F16}));
      check_health(fmt::format("{} {}", architecture, type.name), tiny.model, long_prompt());
    }
  const Loaded tiny(make_tiny_model({.dtype = DType::Q8_0}));
  check_health("9 tokens", tiny.model, {72, 101, 300, 17, 250, 9, 4, 4, 1});
}

TEST_CASE("diagnosis: every patient is flagged on cuda", "[cuda][diagnose]") {
  std::vector<Patient> patients = device_patients();
  for (const Patient& p : all_patients())
    if (p.planted != Planted::computation || can_be_planted(p.fault)) patients.push_back(p);
  PatientTable table;
  for (Patient& p : patients) {
    p.options.head_dim = 64;
    INFO(p.name);
    CHECK_NOTHROW(table.add(p, diagnose_patient(kCuda, p), true));
    CHECK((p.fault == Fault::none || n_planted() > 0));
  }
  plant(Fault::none, 1);
  std::fputs(table.text().c_str(), stdout);
  CHECK(table.n_flagged() == table.n());
  CHECK(table.n_located() == table.n());
}

}  // namespace haikuda::test
