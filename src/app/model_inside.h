// The model linked into the executable.
#pragma once

#include <cstddef>
#include <span>

namespace haikuda {

// The bytes of a GGUF file. Throws Error(usage) when the executable was built without one.
std::span<const std::byte> model_inside();

}  // namespace haikuda
