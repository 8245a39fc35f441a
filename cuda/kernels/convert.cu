// Activations for the matrix units. Bound by memory: x read twice (once from L2), the result
// written once.
#include "cuda/device/half_range.cuh"
#include "cuda/device/load.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;
// One block a row.
__global__ __launch_bounds__(kThreads) void to_f16_rows_kernel(__half* __restrict__ out,
                                                               float* __restrict__ scale,
                                                               const float* __restrict__ x,
                                                               int cols) {
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * cols;
  float magnitude = 0;
  for (int i = threadIdx.x; i < cols; i += kThreads)
    magnitude = fmaxf(magnitude, fabsf(x[offset + i]));
  const int e = half_exponent(block_max<kThreads>(magnitude));
  const float up = power_of_two(e);
  if (threadIdx.x == 0) scale[blockIdx.x] = power_of_two(-e);
  for (int i = threadIdx.x; i < cols; i += kThreads)
    out[offset + i] = __float2half_rn(x[offset + i] * up);
}

// One block a row.
__global__ __launch_bounds__(kThreads) void unscale_rows_kernel(float* __restrict__ y,
                                                                const float* __restrict__ scale,
                                                                int cols) {
  const float factor = scale[blockIdx.x];
  if (factor == 1.0f) return;
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * cols;
  for (int i = threadIdx.x; i < cols; i += kThreads) y[offset + i] *= factor;
}

__global__ __launch_bounds__(kThreads) void split_to_bf16_kernel(std::uint16_t* __restrict__ high,
                                                                 std::uint16_t* __restrict__ low,
                                                                 const float* __restrict__ x,
                                                                 std::int64_t size) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size;
       i += step) {
    const std::uint16_t rounded = float_to_bf16_bits(x[i]);
    high[i] = rounded;
    low[i] = float_to_bf16_bits(x[i] - bf16_bits_to_float(rounded));
  }
}

// A thread an element. row_factors is null or has one for each row.
__global__ __launch_bounds__(kThreads) void widen_rows_kernel(float* __restrict__ out,
                                                              const __half* __restrict__ in,
                                                              std::int64_t in_stride,
                                                              int cols,
                                                              float factor,
                                                              const float* row_factors) {
  const std::int64_t row = blockIdx.x;
  const float by = row_factors == nullptr ? factor : factor * row_factors[row];
  for (int i = threadIdx.x; i < cols; i += kThreads)
    out[row * cols + i] = __half2float(in[row * in_stride + i]) * by;
}

// One block a row.
__global__ __launch_bounds__(kThreads) void add_scaled_rows_kernel(float* __restrict__ x,
                                                                   const float* __restrict__ y,
                                                                   const float* __restrict__ scale,
                                                                   int cols) {
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * cols;
  const float factor = scale[blockIdx.x];
  for (int i = threadIdx.x; i < cols; i += kThreads) x[offset + i] += y[offset + i] * factor;
}

}  // namespace

void widen_rows(
    float* out, const __half* in, int n, int cols, const HalfRows& rows, cudaStream_t stream) {
  launch(widen_rows_kernel, grid_of(n), kThreads, stream, out, in, rows.stride, cols, rows.factor,
         rows.row_factors);
}

void add_scaled_rows(
    float* x, const float* y, const float* scale, int n, int cols, cudaStream_t stream) {
  launch(add_scaled_rows_kernel, grid_of(n), kThreads, stream, x, y, scale, cols);
}

void to_f16_rows(__half* out, float* scale, const float* x, int n, int cols, cudaStream_t stream) {
  launch(to_f16_rows_kernel, grid_of(n), kThreads, stream, out, scale, x, cols);
}

void unscale_rows(float* y, const float* scale, int n, int cols, cudaStream_t stream) {
  launch(unscale_rows_kernel, grid_of(n), kThreads, stream, y, scale, cols);
}

void split_to_bf16(std::uint16_t* high,
                   std::uint16_t* low,
                   const float* x,
                   std::int64_t size,
                   cudaStream_t stream) {
  launch(split_to_bf16_kernel, grid_for(size, kThreads), kThreads, stream, high, low, x, size);
}

}  // namespace haikuda::cuda
