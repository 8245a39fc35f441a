// The rules of a diagnosis, in groups: one function and one file each. Each adds a verdict for all
// that it asked.
#pragma once

#include <set>
#include <span>
#include <string>

#include "inspect/diagnosis.h"
#include "inspect/examination.h"
#include "model/model.h"

namespace haikuda {

// What the rules about a run read.
struct Checkup {
  const Model& model;
  const Examination& exam;
  double rounding;  // NMSE that a device's rounding explains, from a stage's own input

  const ModelConfig& config() const { return model.config; }
};
// Of a device that computes in F32, and of one that multiplies prompts and caches in F16: a number
// rounded to half is off by 8e-8 on average and by 2.4e-7 at most, and healthy models reach 3.4e-7.
constexpr double kExactRounding = 1e-9, kHalfRounding = 1e-5;
// Over that: NMSE of two runs, which add up from layer to layer. SmolLM2 reaches 7e-5 in F16.
constexpr double kChained = 100;

// What was generated, as text.
struct GeneratedText {
  std::string bytes;
  int n_special = 0;  // control tokens that do not end a text
};

// "file": tensors, metadata and weights as they lie in the file.
void check_file(const Model& model, Diagnosis& out);
// "stages": each stage recomputed on the host from the input that was shown.
void check_stages(const Checkup& c, Diagnosis& out);
// "QKV", "RoPE", "softmax", "residual", "logits": the signs that a person would look for.
void check_qkv(const Checkup& c, Diagnosis& out);
void check_rope(const Checkup& c, Diagnosis& out);
void check_softmax(const Checkup& c, Diagnosis& out);
void check_residual(const Checkup& c, Diagnosis& out);
void check_logits(const Checkup& c, Diagnosis& out);
// "KV cache": positions, entries that stay, prefill against a token at a time.
void check_cache(const Checkup& c, Diagnosis& out);
// "output".
void check_output(const Checkup& c, const GeneratedText& text, Diagnosis& out);

// All of them.
Diagnosis diagnose(const Checkup& c, const GeneratedText& text);

}  // namespace haikuda
