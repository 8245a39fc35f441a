#include "base/error.h"

#include <fmt/format.h>

namespace haikuda {

void check_failed(const char* condition, const char* file, int line) {
  throw Error(
      ExitCode::internal,
      fmt::format("internal error: {} failed at {}:{}; please report it", condition, file, line));
}

}  // namespace haikuda
