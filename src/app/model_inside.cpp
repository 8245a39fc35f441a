#include "app/model_inside.h"

// Defined in model_inside.S around the bytes of the file.
extern "C" {
extern const std::byte haikuda_model_inside_begin[];
extern const std::byte haikuda_model_inside_end[];
}

namespace haikuda {

std::span<const std::byte> model_inside() {
  return {haikuda_model_inside_begin, haikuda_model_inside_end};
}

}  // namespace haikuda
