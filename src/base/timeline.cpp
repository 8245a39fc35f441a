#include "base/timeline.h"

#include <algorithm>

namespace haikuda {

std::vector<Timeline::Span> Timeline::spans() const {
  const std::lock_guard lock(mutex_);
  std::vector<Span> out(spans_.begin(), spans_.begin() + static_cast<std::ptrdiff_t>(n_));
  std::stable_sort(out.begin(), out.end(),
                   [](const Span& a, const Span& b) { return a.begin_s < b.begin_s; });
  return out;
}

}  // namespace haikuda
