// One GPU, of compute capability 7.5, that this program holds no code for: what the CUDA runtime
// says of one, without a driver. The linker puts these functions before its own (--wrap in
// CMakeLists.txt). A kernel is not found, and HAIKUDA_FOREIGN_GPU is the error that says so.
#include <cuda_runtime_api.h>

#include <cstdlib>

namespace {

cudaError_t not_found() {
  const char* error = std::getenv("HAIKUDA_FOREIGN_GPU");
  return error == nullptr ? cudaErrorNoKernelImageForDevice
                          : static_cast<cudaError_t>(std::strtol(error, nullptr, 10));
}

}  // namespace

// Names and parameters are those of the CUDA runtime.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

cudaError_t __wrap_cudaDriverGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t __wrap_cudaGetDeviceCount(int* n) {
  *n = 1;
  return cudaSuccess;
}

cudaError_t __wrap_cudaSetDevice(int) {
  return cudaSuccess;
}

cudaError_t __wrap_cudaGetDevice(int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t __wrap_cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int) {
  *value = attribute == cudaDevAttrComputeCapabilityMajor   ? 7
           : attribute == cudaDevAttrComputeCapabilityMinor ? 5
                                                            : 0;
  return cudaSuccess;
}

cudaError_t __wrap_cudaMemGetInfo(size_t* free, size_t* total) {
  *free = *total = size_t{8} << 30;
  return cudaSuccess;
}

cudaError_t __wrap_cudaFuncGetAttributes(cudaFuncAttributes*, const void*) {
  return not_found();
}

cudaError_t __wrap_cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) {
  return not_found();
}

cudaError_t __wrap_cudaLaunchKernelExC(const cudaLaunchConfig_t*, const void*, void**) {
  return not_found();
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
