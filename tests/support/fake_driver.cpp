// Stands for libcuda.so.1 on a machine without an NVIDIA driver, for the test of what is said when
// there is none that helps. HAIKUDA_FAKE_DRIVER: the CUDA version it claims, what cuInit returns.
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

// The first or the second of the two numbers; 0 where there is none.
int claimed(int which) {
  const char* text = std::getenv("HAIKUDA_FAKE_DRIVER");
  if (text != nullptr && which == 1) text = std::strchr(text, ',');
  return text == nullptr ? 0 : static_cast<int>(std::strtol(text + which, nullptr, 10));
}

}  // namespace

extern "C" {

int cuDriverGetVersion(int* version) {
  *version = claimed(0);
  return 0;
}

int cuInit(unsigned) {
  return claimed(1);
}

// Finds what is above; status 1: there is no such symbol.
int cuGetProcAddress_v2(const char* symbol, void** function, int, unsigned long, int* status) {
  const std::string_view name = symbol;
  *function = nullptr;
  if (name == "cuDriverGetVersion") *function = reinterpret_cast<void*>(&cuDriverGetVersion);
  if (name == "cuInit") *function = reinterpret_cast<void*>(&cuInit);
  if (name == "cuGetProcAddress") *function = reinterpret_cast<void*>(&cuGetProcAddress_v2);
  if (status != nullptr) *status = *function == nullptr ? 1 : 0;
  return 0;
}

}  // extern "C"
