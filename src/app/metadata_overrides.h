// --override-kv: metadata in place of the file's.
#pragma once

#include <span>
#include <string>

#include "gguf/metadata.h"

namespace haikuda {

// Each is KEY=TYPE:VALUE, TYPE int, float, bool or str. Throws Error(usage) for another form.
void apply_overrides(std::span<const std::string> overrides, Metadata& metadata);

}  // namespace haikuda
