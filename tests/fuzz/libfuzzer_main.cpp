// libFuzzer's entry point to the target named by HAIKUDA_FUZZ_TARGET.
#include <cstdint>

#include "fuzz_target.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  haikuda::fuzz::HAIKUDA_FUZZ_TARGET({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
