// Checks of CUDA and cuBLAS calls. A failed call throws haikuda::Error with the call, the place,
// CUDA's own words and what to do; destructors use the variant that never throws.
#pragma once

#include <cuda_runtime_api.h>

#include "base/error.h"

namespace haikuda::cuda {

// Which exit code an error of the runtime stands for: no_gpu, out_of_memory or gpu_fault.
ExitCode exit_code_of(cudaError_t error);
// Why no kernel of ours can run here, as a sentence with the versions of driver and program.
std::string describe_no_gpu(cudaError_t error);

[[noreturn]] void throw_cuda_error(cudaError_t error, const char* call, const char* file, int line);
[[noreturn]] void throw_cublas_error(
    int status, const char* text, const char* call, const char* file, int line);

inline void check_cuda(cudaError_t error, const char* call, const char* file, int line) {
  if (error != cudaSuccess) throw_cuda_error(error, call, file, line);
}

// For destructors: the error was or will be reported by a checked call, or the process is ending.
inline void ignore_cuda(cudaError_t) noexcept {}

}  // namespace haikuda::cuda

#define CUDA_CHECK(call) ::haikuda::cuda::check_cuda((call), #call, __FILE__, __LINE__)

namespace haikuda::cuda {

// Of the current device.
inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&value, attribute, device));
  return value;
}

}  // namespace haikuda::cuda
