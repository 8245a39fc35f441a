// Which of this executable's kernels were launched. The linker puts these functions between the
// kernels and the CUDA runtime (--wrap in CMakeLists.txt).
#pragma once

namespace haikuda::test {

// A line on stdout. With HAIKUDA_KERNELS=FILE also a line there for each instance of a kernel: '+'
// if it was launched, '-' if not, and its name.
void report_launched_kernels();

}  // namespace haikuda::test
