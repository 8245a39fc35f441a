// Patients examined on a backend, and the table of what the diagnosis says about each.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "inspect/comparison.h"
#include "inspect/rules.h"
#include "support/patients.h"

namespace haikuda::test {

// A model whose bytes live with it.
struct Loaded {
  explicit Loaded(ModelBytes all)
      : bytes(std::move(all)), model(open_model_bytes(bytes, "patient")) {}
  ModelBytes bytes;
  Model model;
};

// Where patients are examined, and what rounding explains there.
struct Examiner {
  // Of a model, which outlives it, with a fault in the computation.
  std::function<std::unique_ptr<Backend>(const Model&, Fault)> make_backend;
  std::vector<int> prompt;
  double rounding = kExactRounding, comparison = kExactComparison;
  bool half_cache = false;  // of the CPU that runs are compared with
};

constexpr int kExaminedTokens = 64;  // that a backend has room for

// Of a backend that holds `model`, which may differ from what it ought to be.
Diagnosis diagnose_on(const Examiner& examiner, const Model& model, Backend& backend);
// The CPU's run of the tokens of an examination.
OtherRun cpu_run(const Examiner& examiner, const Model& model, const Examination& exam);
Diagnosis diagnose_patient(const Examiner& examiner, const Patient& patient);

class PatientTable {
 public:
  // on_gpu: Patient::gpu_stages count.
  void add(const Patient& patient, const Diagnosis& diagnosis, bool on_gpu);
  std::string text() const;

  int n() const { return n_; }
  int n_flagged() const { return n_flagged_; }
  int n_located() const { return n_located_; }

 private:
  int n_ = 0, n_flagged_ = 0, n_located_ = 0;
  std::string lines_;
};

// Warnings and red flags, a line each.
std::string flags_of(const Diagnosis& diagnosis);

}  // namespace haikuda::test
