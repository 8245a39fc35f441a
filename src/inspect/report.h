// A diagnosis as one HTML page that needs nothing else: charts are inline SVG, colours follow the
// reader's choice of light or dark.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "inspect/comparison.h"
#include "inspect/diagnosis.h"
#include "inspect/examination.h"
#include "inspect/index_set.h"
#include "model/model.h"

namespace haikuda {

struct ReportInput {
  const Model& model;
  const Examination& exam;
  const Diagnosis& diagnosis;
  const std::optional<Comparison>& comparison;
  std::string device, program;
  std::function<std::string(int)> token_text;  // its bytes, which may be anything
  // Whose attention is drawn; empty: the first, the one in the middle and the last.
  IndexSet layers = {}, heads = {};
};

std::string html_report(const ReportInput& input);
// Any bytes as text of an HTML page: markup is escaped, what is not printable is spelled out.
std::string html_text(const std::string& bytes);

}  // namespace haikuda
