#include "support/diagnosed.h"

#include <fmt/format.h>

#include "cpu/cpu_backend.h"

namespace haikuda::test {
namespace {

constexpr int kDecoded = 4;
const GeneratedText kNoText = {"", 0};

const char* planted_name(const Patient& p) {
  if (p.against) return "file, --against";
  return p.planted == Planted::computation ? "computation"
         : p.planted == Planted::device    ? "device's weights"
                                           : "file";
}

}  // namespace

Diagnosis diagnose_on(const Examiner& examiner, const Model& model, Backend& backend) {
  const Examination exam = examine(backend, model.config, examiner.prompt, kDecoded);
  return diagnose({model, exam, examiner.rounding}, kNoText);
}

OtherRun cpu_run(const Examiner& examiner, const Model& model, const Examination& exam) {
  const auto backend = make_cpu_backend(
      model, {.n_ctx = kExaminedTokens, .n_threads = 1, .half_cache = examiner.half_cache});
  const std::span<const int> tokens = exam.tokens;
  const auto n_prompt = static_cast<std::size_t>(exam.n_prompt);
  OtherRun out;
  out.name = "the sound file";
  out.rows =
      examine(*backend, model.config, tokens.first(n_prompt), 0, tokens.subspan(n_prompt)).run;
  return out;
}

Diagnosis diagnose_patient(const Examiner& examiner, const Patient& p) {
  ModelBytes bytes = make_tiny_model(p.options);
  if (p.prepare) p.prepare(bytes);
  const Loaded sound(bytes);
  if (p.spoil) p.spoil(bytes);
  Loaded sick(std::move(bytes));
  if (p.change) p.change(sick.model);
  const auto backend = examiner.make_backend(sick.model, p.fault);
  const Model& judged = p.planted == Planted::file ? sick.model : sound.model;
  if (!p.against) return diagnose_on(examiner, judged, *backend);
  const Examination exam = examine(*backend, judged.config, examiner.prompt, kDecoded);
  Diagnosis out = diagnose({judged, exam, examiner.rounding}, kNoText);
  out.add(compare_runs(judged.config, exam.run, cpu_run(examiner, sound.model, exam),
                       examiner.comparison)
              .verdict());
  return out;
}

void PatientTable::add(const Patient& p, const Diagnosis& diagnosis, bool on_gpu) {
  const Verdict* fault = diagnosis.first_fault();
  const std::set<Stage>& stages = on_gpu && !p.gpu_stages.empty() ? p.gpu_stages : p.stages;
  const bool located =
      fault != nullptr && fault->stage && stages.contains(*fault->stage) && fault->layer == p.layer;
  ++n_;
  n_flagged_ += fault != nullptr ? 1 : 0;
  n_located_ += located ? 1 : 0;
  lines_ +=
      fmt::format("{:<42} {:<17} {:<8} {:<8} {}\n", p.name, planted_name(p),
                  fault != nullptr ? "yes" : "NO", located ? "yes" : "NO",
                  fault == nullptr ? "" : fmt::format("{}: {}", fault->place(), fault->cause));
}

std::string PatientTable::text() const {
  return fmt::format("{:<42} {:<17} {:<8} {:<8} {}\n", "patient", "planted in", "flagged",
                     "located", "conclusion") +
         lines_ +
         fmt::format("{} patients, {} flagged, {} with the right stage and layer\n", n_, n_flagged_,
                     n_located_);
}

std::string flags_of(const Diagnosis& d) {
  std::string out;
  for (const Verdict& v : d.verdicts)
    if (v.grade != Grade::good)
      out += fmt::format("{}: {}: {}: {} ({})\n", v.group, v.rule, v.place(), v.cause, v.figure);
  return out;
}

}  // namespace haikuda::test
