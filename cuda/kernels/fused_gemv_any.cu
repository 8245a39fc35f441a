// Every type and size in the frame of the fused products, by the decoders: what is not tuned.
#include "cuda/kernels/fused_gemv_launch.cuh"

namespace haikuda::cuda {

int run_any_gemv(const GemvCall& call) {
  HAIKUDA_CHECK(call.params.x != nullptr && call.params.out_quants == nullptr);
  return dispatch_any({call.dtype, 0, call.params.cols, nullptr}, [&](auto use) {
    using D = typename decltype(use)::Decoder;
    HAIKUDA_CHECK(call.params.cols % kUnitElems<D> == 0);
    GemvParams params = call.params;
    const int n_chunks = static_cast<int>(ceil_div(params.cols / kUnitElems<D>, kWarpSize));
    const GemvPlan plan =
        plan_call(params, call, {.n_chunks = n_chunks, .one_row_at_a_time = true});
    HAIKUDA_CHECK(plan.n_streams == 1);
    launch_dependent(plain_gemv_kernel<D>, grid_of(plan.n_blocks), plan.n_warps * kWarpSize,
                     static_cast<std::size_t>(n_sums_of(plan, params.n_rows)) * sizeof(float),
                     call.stream, params);
    return plan.n_blocks;
  });
}

int n_gemv_units(DType dtype, int cols) {
  switch (dtype) {
    case DType::F32:
      return cols % 4 == 0 ? cols / 4 : 0;
    case DType::F16:
    case DType::BF16:
      return cols % 8 == 0 ? cols / 8 : 0;
    case DType::Q8_0:
      return cols / 16;
    default:
      return multiplies_integers(dtype) ? cols / 32 : 0;
  }
}

bool multiplies_integers(DType dtype) {
  switch (dtype) {
    case DType::Q4_0:
    case DType::Q4_1:
    case DType::Q5_0:
    case DType::Q5_1:
    case DType::Q8_0:
    case DType::Q4_K:
    case DType::Q5_K:
    case DType::Q6_K:
      return true;
    default:
      return false;
  }
}

int n_multiprocessors() {
  int device = 0, n = 0;
  CUDA_CHECK(cudaGetDevice(&device));
  CUDA_CHECK(cudaDeviceGetAttribute(&n, cudaDevAttrMultiProcessorCount, device));
  return n;
}

}  // namespace haikuda::cuda
