// A diagnosis as its user reads it: a table on a terminal or in a file, or a record.
#pragma once

#include <optional>
#include <string>

#include "inspect/comparison.h"
#include "inspect/diagnosis.h"

namespace haikuda {

// What was examined.
struct DiagnosisFacts {
  std::string file, model, device;
  int n_prompt = 0, n_decoded = 0;
  std::optional<Comparison> comparison;
};

// Lines of verdicts, the growth of the error by layer when two runs were compared, the conclusion.
std::string diagnosis_text(const DiagnosisFacts& facts, const Diagnosis& diagnosis);
// Indented, with its newline.
std::string diagnosis_json(const DiagnosisFacts& facts, const Diagnosis& diagnosis, bool ascii);

}  // namespace haikuda
