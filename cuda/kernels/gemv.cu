// Matrix times vector, the whole of decoding's time. Bound by memory: the bytes of w, once for each
// token.
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/layout.h"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarpSize;

// One warp a row of w and a token (blockIdx.y); its lanes take units in turn. x comes from the L1
// cache.
template <class D>
__global__ __launch_bounds__(kThreads) void gemv_kernel(
    float* __restrict__ y, const float* __restrict__ x, MatrixPlanes w, int rows, int cols) {
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + warp;
  const std::int64_t token = blockIdx.y;
  if (row >= rows) return;  // the whole warp; the kernel has no barrier

  const RowPlanes row_data = row_of(w, row);
  const float* row_x = x + token * cols;
  const int n_units = cols / kUnitElems<D>;
  float sum = 0;
#pragma unroll 4
  for (int unit = lane; unit < n_units; unit += kWarpSize) {
    float values[D::kRuns][D::kRun];
    D::decode(row_data, unit, values);
    const float* unit_x = row_x + D::first_column(unit);
    float of_unit = 0;
#pragma unroll
    for (int r = 0; r < D::kRuns; ++r) of_unit += dot_run(values[r], unit_x + r * D::kStride);
    sum += of_unit;
  }
  sum = warp_sum(sum);
  if (lane == 0) y[token * rows + row] = sum;
}

}  // namespace

void gemv(float* y, const float* x, const DeviceTensor& w, int n, cudaStream_t stream) {
  dispatch_any(w, [&](auto use) {
    using D = typename decltype(use)::Decoder;
    HAIKUDA_CHECK(w.cols % kUnitElems<D> == 0);
    launch(gemv_kernel<D>, grid_of(ceil_div(w.rows, kRowsPerBlock), n), kThreads, stream, y, x,
           planes_of(w), w.rows, w.cols);
  });
}

}  // namespace haikuda::cuda
