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

GemvShape gate_up_shape(DType dtype, int n_ff, int cols) {
  HAIKUDA_CHECK(multiplies_integers(dtype));
  GemvShape shape = dtype == DType::Q8_0                           ? shape_of<DotQ8_0>(cols)
                    : dtype_info(dtype).block_elems == kSuperBlock ? shape_of<DotQ5_K>(cols)
                                                                   : shape_of<DotQ5_0>(cols);
  shape.rows = 2 * n_ff;
  shape.is_gate_up = true;
  return shape;
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
  return device_attribute(cudaDevAttrMultiProcessorCount);
}

}  // namespace haikuda::cuda
