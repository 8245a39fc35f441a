// Activations for the matrix units. Bound by memory: x read twice (once from L2), the result
// written once.
#include "cuda/device/load.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;
constexpr float kSafeMin =
    0x1p-4f;  // below it the row's small elements would be rounded to multiples of 2^-24
constexpr float kSafeMax = 0x1p15f;  // half's greatest number is 65504
constexpr int kWantedExponent = 13;

// The e by which a row of this greatest magnitude is multiplied (2^e).
__device__ int scale_exponent(float magnitude) {
  if (magnitude == 0 || isinf(magnitude) || (magnitude >= kSafeMin && magnitude <= kSafeMax))
    return 0;
  const int exponent =
      static_cast<int>(__float_as_uint(magnitude) >> 23) - 127;  // -127 for subnormals
  return min(kWantedExponent - exponent, 126);
}
// -126 <= e <= 127
__device__ float power_of_two(int e) {
  return __uint_as_float(static_cast<unsigned>(e + 127) << 23);
}

// One block a row.
__global__ __launch_bounds__(kThreads) void to_f16_rows_kernel(__half* __restrict__ out,
                                                               float* __restrict__ scale,
                                                               const float* __restrict__ x,
                                                               int cols) {
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * cols;
  float magnitude = 0;
  for (int i = threadIdx.x; i < cols; i += kThreads)
    magnitude = fmaxf(magnitude, fabsf(x[offset + i]));
  const int e = scale_exponent(block_max<kThreads>(magnitude));
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

}  // namespace

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
