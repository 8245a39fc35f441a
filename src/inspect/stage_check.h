// One rule about a stage, asked at many layers and positions: keeps the greatest error and the
// first place where it is too great.
#pragma once

#include <span>
#include <string>

#include "inspect/diagnosis.h"

namespace haikuda {

class StageCheck {
 public:
  StageCheck(Stage stage, std::string group, std::string rule, double bound)
      : stage_(stage), group_(std::move(group)), rule_(std::move(rule)), bound_(bound) {}

  // Compares a row that was shown with what it ought to be. True at the first failure, which
  // explain() is then for. A row that was not shown, and one that nothing finite can be expected
  // of, is left out. Of n_heads equal parts the first wrong one is named.
  bool fails_first(std::span<const float> got,
                   std::span<const float> want,
                   int layer,
                   int position,
                   int n_heads = 0);
  void explain(std::string cause) { cause_ = std::move(cause); }

  bool was_asked() const { return n_asked_ > 0; }
  Verdict verdict() const;

 private:
  Stage stage_;
  std::string group_, rule_;
  double bound_;
  double worst_ = 0;  // at the first place that fails; otherwise of all
  int n_asked_ = 0, n_failed_ = 0;
  int layer_ = -1, position_ = -1, head_ = -1;
  std::string cause_;
};

}  // namespace haikuda
