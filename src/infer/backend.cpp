#include "infer/backend.h"

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"

namespace haikuda {

void Backend::start_sampling(const SamplerOptions&, std::span<const int>, int) {
  throw Error(ExitCode::internal, "this backend does not sample");
}
int Backend::next_token() {
  throw Error(ExitCode::internal, "this backend does not sample");
}
void Backend::stop_sampling() {}

void throw_not_finite(int position, int token, float value) {
  throw Error(ExitCode::gpu_fault,
              fmt::format("the logits after position {} are not finite (token {} has {}): the "
                          "weights are damaged or a computation overflowed",
                          position - 1, token, value));
}

void check_finite_logits(std::span<const float> logits, int position) {
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (!std::isfinite(logits[i])) throw_not_finite(position, static_cast<int>(i), logits[i]);
}

}  // namespace haikuda
