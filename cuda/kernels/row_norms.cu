// Norms of the rows of a matrix, which bound its products. Bound by memory: the encoded matrix.
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/layout.h"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;

// A warp every kWarps · gridDim.x-th row. No sum is negative, so that they compare as their bits.
template <class D>
__global__ __launch_bounds__(kThreads) void greatest_row_norm_kernel(
    float* out, MatrixPlanes w, const float* __restrict__ gamma, int rows, int cols) {
  const int lane = threadIdx.x % kWarpSize;
  const int n_units = cols / kUnitElems<D>;
  float greatest = 0;
  for (int row = static_cast<int>(blockIdx.x) * kWarps + static_cast<int>(threadIdx.x) / kWarpSize;
       row < rows; row += static_cast<int>(gridDim.x) * kWarps) {
    const RowPlanes row_data = row_of(w, row);
    float sum = 0;
    for (int unit = lane; unit < n_units; unit += kWarpSize) {
      float values[D::kRuns][D::kRun];
      D::decode(row_data, unit, values);
#pragma unroll
      for (int r = 0; r < D::kRuns; ++r) {
        multiply_run(values[r], gamma + D::first_column(unit) + r * D::kStride);
#pragma unroll
        for (int i = 0; i < D::kRun; ++i) sum += values[r][i] * values[r][i];
      }
    }
    greatest = fmaxf(greatest, warp_sum(sum));
  }
  if (lane == 0) atomicMax(reinterpret_cast<int*>(out), __float_as_int(sqrtf(greatest)));
}

}  // namespace

void greatest_row_norm(float* out, const DeviceTensor& w, const float* gamma, cudaStream_t stream) {
  dispatch_half(w, [&](auto use) {
    using D = typename decltype(use)::Decoder;
    HAIKUDA_CHECK(w.cols % kUnitElems<D> == 0);
    launch(greatest_row_norm_kernel<D>,
           grid_of(std::min<std::int64_t>(ceil_div(w.rows, kWarps), 1024)), kThreads, stream, out,
           planes_of(w), gamma, w.rows, w.cols);
  });
}

}  // namespace haikuda::cuda
