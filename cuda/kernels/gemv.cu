// Matrix times a few vectors. Bound by memory: the bytes of w, once for up to eight tokens.
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/layout.h"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kRowsPerBlock = kThreads / kWarpSize;

// One warp a row of w and kTokens tokens (blockIdx.y); its lanes take units in turn, which they
// decode once for all tokens. x comes from the L1 cache.
template <class D, int kTokens>
__global__ __launch_bounds__(kThreads) void gemv_kernel(
    float* __restrict__ y, const float* __restrict__ x, MatrixPlanes w, int n, int rows, int cols) {
  const int lane = threadIdx.x % kWarpSize;
  const int warp = threadIdx.x / kWarpSize;
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * kRowsPerBlock + warp;
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  if (row >= rows) return;  // the whole warp; the kernel has no barrier

  const RowPlanes row_data = row_of(w, row);
  const float* row_x[kTokens];
#pragma unroll
  for (int t = 0; t < kTokens; ++t)  // tokens beyond the last compute it in vain
    row_x[t] = x + static_cast<std::int64_t>(min(first_token + t, n - 1)) * cols;
  const int n_units = cols / kUnitElems<D>;
  float sum[kTokens] = {};
#pragma unroll kTokens == 1 ? 4 : 2
  for (int unit = lane; unit < n_units; unit += kWarpSize) {
    float values[D::kRuns][D::kRun];
    D::decode(row_data, unit, values);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float* unit_x = row_x[t] + D::first_column(unit);
      float of_unit = 0;
#pragma unroll
      for (int r = 0; r < D::kRuns; ++r) of_unit += dot_run(values[r], unit_x + r * D::kStride);
      sum[t] += of_unit;
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    const float of_token = warp_sum(sum[t]);
    if (lane == 0 && first_token + t < n)
      y[static_cast<std::int64_t>(first_token + t) * rows + row] = of_token;
  }
}

template <class D, int kTokens>
void run_gemv(float* y, const float* x, const DeviceTensor& w, int n, cudaStream_t stream) {
  HAIKUDA_CHECK(w.cols % kUnitElems<D> == 0);
  launch(gemv_kernel<D, kTokens>, grid_of(ceil_div(w.rows, kRowsPerBlock), ceil_div(n, kTokens)),
         kThreads, stream, y, x, planes_of(w), n, w.rows, w.cols);
}

}  // namespace

void gemv(float* y, const float* x, const DeviceTensor& w, int n, cudaStream_t stream) {
  dispatch_any(w, [&](auto use) {
    using D = typename decltype(use)::Decoder;
    if (n == 1) return run_gemv<D, 1>(y, x, w, n, stream);
    if (n <= 4) return run_gemv<D, 4>(y, x, w, n, stream);
    run_gemv<D, 8>(y, x, w, n, stream);
  });
}

}  // namespace haikuda::cuda
