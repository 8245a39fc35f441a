// Plain types: F32 F16 BF16.
#include "cuda/kernels/fused_gemv_launch.cuh"

namespace haikuda::cuda {

int run_plain_gemv(const GemvCall& call) {
  switch (call.dtype) {
    case DType::F32:
      return launch_fused<DotF32>(call);
    case DType::F16:
      return launch_fused<DotF16>(call);
    case DType::BF16:
      return launch_fused<DotBF16>(call);
    default:
      return 0;
  }
}

}  // namespace haikuda::cuda
