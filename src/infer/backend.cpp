#include "infer/backend.h"

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"

namespace haikuda {

void check_finite_logits(std::span<const float> logits, int position) {
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!std::isfinite(logits[i]))
      throw Error(ExitCode::gpu_fault, fmt::format("the logits after position {} are not finite "
                                                   "(token {} has {}): the weights are damaged or "
                                                   "a computation overflowed",
                                                   position - 1, i, logits[i]));
}

}  // namespace haikuda
