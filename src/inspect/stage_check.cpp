#include "inspect/stage_check.h"

#include <algorithm>

#include <fmt/format.h>

#include "inspect/nmse.h"

namespace haikuda {

bool StageCheck::fails_first(
    std::span<const float> got, std::span<const float> want, int layer, int position, int n_heads) {
  if (got.empty() || want.empty() || !all_finite(want)) return false;
  ++n_asked_;
  const double error = nmse(got, want);
  if (error <= bound_) {
    if (n_failed_ == 0) worst_ = std::max(worst_, error);
    return false;
  }
  if (++n_failed_ > 1) return false;
  worst_ = error;
  layer_ = layer;
  position_ = position;
  if (n_heads > 1) head_ = first_head_above(got, want, n_heads, bound_);
  return true;
}

Verdict StageCheck::verdict() const {
  Verdict v{.group = group_, .rule = rule_, .stage = stage_};
  v.figure = fmt::format("NMSE {}{}", figure_text(worst_),
                         n_failed_ > 0 ? fmt::format(", {} of {} rows", n_failed_, n_asked_) : "");
  v.threshold = "<= " + figure_text(bound_);
  if (n_failed_ == 0) return v;
  v.grade = Grade::red;
  v.layer = layer_;
  v.position = position_;
  v.head = head_;
  v.cause = cause_;
  return v;
}

}  // namespace haikuda
