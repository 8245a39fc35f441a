// Stands in for model_inside.cpp in a build without HAIKUDA_MODEL_INSIDE.
#include "app/model_inside.h"
#include "base/error.h"

namespace haikuda {

std::span<const std::byte> model_inside() {
  throw Error(ExitCode::usage,
              "no model: give one with -m FILE or -m NAME (scripts/fetch_model.sh --list shows "
              "names); this executable "
              "was built without a model inside");
}

}  // namespace haikuda
