// main() of the CUDA tests: exit status 4 and a line on stderr, "skipped: …", where no GPU can be
// used. The last line on stdout says how many kernels were launched.
#include <cstdio>

#include "cuda/cuda_backend.h"
#include "launched_kernels.h"
#include "support/session.h"

int main(int argc, char** argv) {
  std::string reason;
  if (haikuda::find_cuda_devices(reason).empty()) {
    std::fprintf(stderr, "skipped: no CUDA device (%s)\n", reason.c_str());
    return haikuda::test::kSkipped;
  }
  const int status = haikuda::test::run_session(argc, argv);
  haikuda::test::report_launched_kernels();
  return status;
}
