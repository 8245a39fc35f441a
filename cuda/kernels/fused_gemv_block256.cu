// Blocks of 256: Q4_K Q5_K Q6_K.
#include "cuda/kernels/fused_gemv_launch.cuh"

namespace haikuda::cuda {

int run_block256_gemv(const GemvCall& call) {
  switch (call.dtype) {
    case DType::Q4_K:
      return launch_fused<DotQ4_K>(call);
    case DType::Q5_K:
      return launch_fused<DotQ5_K>(call);
    case DType::Q6_K:
      return launch_fused<DotQ6_K>(call);
    default:
      return 0;
  }
}

}  // namespace haikuda::cuda
