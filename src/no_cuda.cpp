// Stands in for cuda/cuda_backend.cpp in a build without CUDA.
#include "base/error.h"
#include "cuda/cuda_backend.h"

namespace haikuda {

bool built_with_cuda() {
  return false;
}

std::vector<CudaDevice> find_cuda_devices(std::string& reason) {
  reason = "this executable was built without CUDA";
  return {};
}

CudaStart::CudaStart(int, Timeline&) {
  std::promise<Found> found;
  found.set_value({std::nullopt, "this executable was built without CUDA"});
  found_ = found.get_future().share();
}

bool CudaStart::may_hold_context() const {
  return false;
}

std::unique_ptr<Backend> make_cuda_backend(const Model&, const BackendOptions&) {
  throw Error(ExitCode::no_gpu, "this executable was built without CUDA");
}

int max_cuda_context(const Model&, const CudaDevice&) {
  return 0;
}

double measure_cuda_read_bandwidth(int) {
  throw Error(ExitCode::no_gpu, "this executable was built without CUDA");
}

}  // namespace haikuda
