#include "launched_kernels.h"

#include <cuda_runtime.h>
#include <cxxabi.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace haikuda::test {
namespace {

struct Kernel {
  std::string name;
  bool launched = false;
};

struct Kernels {
  std::mutex mutex;
  std::map<const void*, Kernel> by_stub;
};

// Kernels are registered before main, in any order.
Kernels& kernels() {
  static Kernels all;
  return all;
}

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  return status == 0 ? text.get() : name;
}

}  // namespace

void report_launched_kernels() {
  const std::lock_guard lock(kernels().mutex);
  int n = 0;
  for (const auto& [stub, kernel] : kernels().by_stub) n += kernel.launched ? 1 : 0;
  std::printf("kernels launched: %d of %zu\n", n, kernels().by_stub.size());
  const char* path = std::getenv("HAIKUDA_KERNELS");
  if (path == nullptr) return;
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> out(std::fopen(path, "w"), &std::fclose);
  if (!out) return;
  for (const auto& [stub, kernel] : kernels().by_stub)
    std::fprintf(out.get(), "%c %s\n", kernel.launched ? '+' : '-', kernel.name.c_str());
}

}  // namespace haikuda::test

// Names and parameters are those of the CUDA runtime and of what nvcc generates.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

cudaError_t __real_cudaLaunchKernelExC(const cudaLaunchConfig_t* config,
                                       const void* func,
                                       void** args);
cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t* config,
                                       const void* func,
                                       void** args) {
  {
    auto& all = haikuda::test::kernels();
    const std::lock_guard lock(all.mutex);
    if (const auto found = all.by_stub.find(func); found != all.by_stub.end())
      found->second.launched = true;
  }
  return __real_cudaLaunchKernelExC(config, func, args);
}

void __real___cudaRegisterFunction(void** module,
                                   const char* stub,
                                   char* device_function,
                                   const char* name,
                                   int thread_limit,
                                   uint3* thread,
                                   uint3* block,
                                   dim3* block_size,
                                   dim3* grid_size,
                                   int* warp_size);
void __wrap___cudaRegisterFunction(void** module,
                                   const char* stub,
                                   char* device_function,
                                   const char* name,
                                   int thread_limit,
                                   uint3* thread,
                                   uint3* block,
                                   dim3* block_size,
                                   dim3* grid_size,
                                   int* warp_size) {
  {
    auto& all = haikuda::test::kernels();
    const std::lock_guard lock(all.mutex);
    all.by_stub[stub].name = haikuda::test::demangled(name);
  }
  __real___cudaRegisterFunction(module, stub, device_function, name, thread_limit, thread, block,
                                block_size, grid_size, warp_size);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
