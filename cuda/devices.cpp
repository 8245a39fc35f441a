#include "cuda/devices.h"

#include <dlfcn.h>

#include <array>
#include <chrono>
#include <system_error>

#include <fmt/format.h>

#include "cuda/check.h"
#include "cuda/ops.h"

namespace haikuda {
namespace {

using namespace cuda;

// 0, with `reason` set, where there is none.
int count_devices(std::string& reason) {
  int n = 0;
  const cudaError_t error = cudaGetDeviceCount(&n);
  if (error == cudaSuccess && n > 0) return n;
  reason = describe_no_gpu(error == cudaSuccess ? cudaErrorNoDevice : error);
  return 0;
}

int attribute(cudaDeviceAttr which, int index) {
  int value = 0;
  CUDA_CHECK(cudaDeviceGetAttribute(&value, which, index));
  return value;
}

// From the driver, which the runtime has opened: cudaGetDeviceProperties would ask for a hundred
// other facts too, some of them slow.
std::string name_of(int index) {
  std::array<char, 256> name{"NVIDIA GPU"};
  if (void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD)) {
    using GetName = int (*)(char*, int, int);  // cuDeviceGetName
    if (const auto get = reinterpret_cast<GetName>(dlsym(driver, "cuDeviceGetName")))
      (void)get(name.data(), static_cast<int>(name.size()), index);
    dlclose(driver);
  }
  return name.data();
}

std::optional<CudaDevice> try_open(int index, std::string& reason) {
  try {
    return open_device(index);
  } catch (const Error& e) {
    reason = fmt::format("CUDA device {}: {}", index, e.what());
    return std::nullopt;
  }
}

CudaStart::Found find_device(int index, Timeline& timeline) {
  CudaStart::Found found;
  int n = 0;
  {
    const Phase phase(&timeline, "CUDA driver");
    n = count_devices(found.reason);
  }
  if (n == 0) return found;
  if (index < 0 || index >= n) {
    found.reason = fmt::format("there is no device {}, only 0 to {}", index, n - 1);
    return found;
  }
  const Phase phase(&timeline, "CUDA context");
  found.device = try_open(index, found.reason);
  return found;
}

}  // namespace

namespace cuda {

CudaDevice open_device(int index) {
  int n_devices = 0;
  CUDA_CHECK(cudaGetDeviceCount(&n_devices));
  if (index < 0 || index >= n_devices)
    throw Error(ExitCode::no_gpu,
                fmt::format("there is no CUDA device {}: {} can be seen, numbered from 0", index,
                            n_devices));
  CUDA_CHECK(cudaSetDevice(index));
  require_kernels();
  CudaDevice device;
  CUDA_CHECK(cudaMemGetInfo(&device.free_bytes, &device.total_bytes));
  device.index = index;
  device.name = name_of(index);
  device.compute_major = attribute(cudaDevAttrComputeCapabilityMajor, index);
  device.compute_minor = attribute(cudaDevAttrComputeCapabilityMinor, index);
  return device;
}

}  // namespace cuda

std::vector<CudaDevice> find_cuda_devices(std::string& reason) {
  std::vector<CudaDevice> devices;
  const int n = count_devices(reason);
  for (int i = 0; i < n; ++i)
    if (auto device = try_open(i, reason)) devices.push_back(std::move(*device));
  return devices;
}

// Where the system has no thread to give, wait() does it itself.
CudaStart::CudaStart(int device_index, Timeline& timeline) {
  const auto find = [device_index, &timeline] { return find_device(device_index, timeline); };
  try {
    found_ = std::async(std::launch::async, find).share();
  } catch (const std::system_error&) {
    found_ = std::async(std::launch::deferred, find).share();
  }
}

bool CudaStart::may_hold_context() const {
  switch (found_.wait_for(std::chrono::seconds(0))) {
    case std::future_status::ready:
      return found_.get().device.has_value();
    case std::future_status::deferred:
      return false;
    case std::future_status::timeout:
      break;
  }
  return true;
}

}  // namespace haikuda
