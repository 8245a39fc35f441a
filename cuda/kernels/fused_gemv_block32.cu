// Blocks of 32: Q4_0 Q4_1 Q5_0 Q5_1 Q8_0.
#include "cuda/kernels/fused_gemv_launch.cuh"

namespace haikuda::cuda {

int run_block32_gemv(const GemvCall& call) {
  switch (call.dtype) {
    case DType::Q4_0:
      return launch_fused<DotQ4_0>(call);
    case DType::Q4_1:
      return launch_fused<DotQ4_1>(call);
    case DType::Q5_0:
      return launch_fused<DotQ5_0>(call);
    case DType::Q5_1:
      return launch_fused<DotQ5_1>(call);
    case DType::Q8_0:
      return launch_fused<DotQ8_0>(call);
    default:
      return 0;
  }
}

}  // namespace haikuda::cuda
