// main() of the CUDA tests: exit status 4 and a line on stderr, "skipped: …", where no GPU can be
// used.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <cstdio>

#include "cuda/cuda_backend.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 4;
  std::string reason;
  if (haikuda::find_cuda_devices(reason).empty()) {
    std::fprintf(stderr, "skipped: no CUDA device (%s)\n", reason.c_str());
    return kSkipped;
  }
  return Catch::Session().run(argc, argv);
}
