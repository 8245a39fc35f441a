#include "cuda/check.h"

#include <fmt/format.h>

namespace haikuda::cuda {
namespace {

std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// Of the current device.
int attribute_or_zero(cudaDeviceAttr attribute) {
  int device = 0, value = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&value, attribute, device) != cudaSuccess)
    return 0;
  return value;
}

}  // namespace

ExitCode exit_code_of(cudaError_t error) {
  switch (error) {
    case cudaErrorMemoryAllocation:
      return ExitCode::out_of_memory;
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorInitializationError:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorSystemNotReady:
    case cudaErrorCompatNotSupportedOnDevice:
    case cudaErrorDevicesUnavailable:
    case cudaErrorStubLibrary:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:  // the same, where a kernel is asked for before a launch
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorOperatingSystem:
      return ExitCode::no_gpu;
    default:
      return ExitCode::gpu_fault;
  }
}

std::string describe_no_gpu(cudaError_t error) {
  int driver = 0, runtime = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) runtime = 0;
  (void)cudaGetLastError();
  if (driver == 0) return "no NVIDIA driver is installed here (libcuda.so.1 was not found)";
  if (error == cudaErrorNoKernelImageForDevice || error == cudaErrorInvalidDeviceFunction ||
      error == cudaErrorUnsupportedPtxVersion)
    return fmt::format(
        "this program was not built for this GPU, of compute capability {}.{} ({}); rebuild it "
        "with -DCMAKE_CUDA_ARCHITECTURES=native",
        attribute_or_zero(cudaDevAttrComputeCapabilityMajor),
        attribute_or_zero(cudaDevAttrComputeCapabilityMinor), cudaGetErrorString(error));
  if (error == cudaErrorInsufficientDriver)
    return fmt::format(
        "the NVIDIA driver supports CUDA {}, this program was built with CUDA {}; update the "
        "driver",
        version_text(driver), version_text(runtime));
  return fmt::format("{} ({}; driver for CUDA {}, program built with CUDA {}); see nvidia-smi",
                     cudaGetErrorString(error), cudaGetErrorName(error), version_text(driver),
                     version_text(runtime));
}

void throw_cuda_error(cudaError_t error, const char* call, const char* file, int line) {
  const ExitCode code = exit_code_of(error);
  (void)cudaGetLastError();  // an error that is not sticky must not show up again in a later check
  if (code == ExitCode::no_gpu) throw Error(code, describe_no_gpu(error));
  const char* name = cudaGetErrorName(error);
  const char* text = cudaGetErrorString(error);
  if (code == ExitCode::out_of_memory)
    throw Error(
        code, fmt::format("the GPU is out of memory: {} at {}:{}; try a smaller context (-c)", call,
                          file, line));
  throw Error(code,
              fmt::format("GPU fault: {} ({}) from {} at {}:{}; see dmesg for the driver's report",
                          name, text, call, file, line));
}

void throw_cublas_error(
    int status, const char* text, const char* call, const char* file, int line) {
  constexpr int kAllocFailed = 3;  // CUBLAS_STATUS_ALLOC_FAILED
  const ExitCode code = status == kAllocFailed ? ExitCode::out_of_memory : ExitCode::gpu_fault;
  throw Error(
      code,
      fmt::format(
          "GPU fault: cuBLAS status {} ({}) from {} at {}:{}; see dmesg for the driver's report",
          status, text, call, file, line));
}

}  // namespace haikuda::cuda
