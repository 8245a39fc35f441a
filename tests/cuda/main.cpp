// main() of the CUDA tests: exit status 4 and a line on stderr, "skipped: …", where no GPU can be
// used. The last line on stdout says how many kernels were launched.
#if __has_include(<catch2/catch_session.hpp>)
#include <catch2/catch_session.hpp>
#else
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#endif

#include <cstdio>

#include "cuda/cuda_backend.h"
#include "launched_kernels.h"

int main(int argc, char** argv) {
  constexpr int kSkipped = 4;
  std::string reason;
  if (haikuda::find_cuda_devices(reason).empty()) {
    std::fprintf(stderr, "skipped: no CUDA device (%s)\n", reason.c_str());
    return kSkipped;
  }
  const int status = Catch::Session().run(argc, argv);
  haikuda::test::report_launched_kernels();
  return status;
}
