// The verdicts of an examination: what was looked at, what was found, and what usually causes it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "infer/probe.h"

namespace haikuda {

enum class Grade { good, warning, red };
const char* grade_name(Grade grade);  // "good sign", "warning", "red flag"

struct Verdict {
  Grade grade = Grade::good;
  std::string group = {};                   // "file", "stages", "RoPE", ...
  std::string rule = {};                    // what ought to be
  std::string figure = {}, threshold = {};  // as found, as allowed
  std::optional<Stage> stage = {};
  int layer = -1, position = -1, head = -1;  // -1: none in particular
  std::string cause = {};                    // the probable one; empty when nothing is wrong

  // "q of layer 0, head 1, position 3"; empty without a stage and a layer.
  std::string place() const;
  // Marks the rule as broken here, unless it was before: the first place stays.
  void flag(Grade how, Stage at, int at_layer, int at_position, std::string why);
};

struct Diagnosis {
  std::vector<Verdict> verdicts;

  void add(Verdict verdict) { verdicts.push_back(std::move(verdict)); }
  int count(Grade grade) const;
  bool is_healthy() const { return count(Grade::red) == 0; }
  // The red flag that lies earliest: in the file, else by layer and stage in the order of the
  // computation. nullptr when there is none.
  const Verdict* first_fault() const;
  // One line.
  std::string conclusion() const;
};

// The text of a figure: "1.2e-13", "0.25", "inf".
std::string figure_text(double value);

}  // namespace haikuda
