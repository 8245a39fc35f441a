#pragma once

namespace haikuda {

inline constexpr const char* kVersion = HAIKUDA_VERSION;  // from CMakeLists.txt

}  // namespace haikuda
