// Element by element. Bound by memory: 12 bytes an element, 6 in half.
#include "cuda/device/half_range.cuh"
#include "cuda/device/load.cuh"
#include "cuda/device/mma.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;

__global__ __launch_bounds__(kThreads) void add_kernel(float* __restrict__ x,
                                                       const float* __restrict__ y,
                                                       std::int64_t size) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size;
       i += step)
    x[i] += y[i];
}

__global__ __launch_bounds__(kThreads) void silu_mul_kernel(float* __restrict__ gate,
                                                            const float* __restrict__ up,
                                                            std::int64_t size) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size;
       i += step) {
    const float g = gate[i];
    gate[i] = g / (1.0f + expf(-g)) * up[i];
  }
}

// silu(gate) · up of stored values that are `factor` times the true ones. Exact to a few last bits
// of F32: what follows is rounded to half.
__device__ float silu_mul_of(float gate, float up, float factor) {
  const float g = gate * factor;
  return __fdividef(g, 1.0f + __expf(-g)) * (up * factor);
}

// Of eight neighbouring halves.
__device__ void activate(float (&out)[8], const __half* gate, const __half* up, float factor) {
  const uint4 g = *reinterpret_cast<const uint4*>(gate), u = *reinterpret_cast<const uint4*>(up);
  const std::uint32_t gates[4] = {g.x, g.y, g.z, g.w}, ups[4] = {u.x, u.y, u.z, u.w};
#pragma unroll
  for (int i = 0; i < 8; ++i) {
    const int shift = 16 * (i % 2);
    out[i] = silu_mul_of(
        half_bits_to_float(static_cast<std::uint16_t>(gates[i / 2] >> shift & 0xffffu)),
        half_bits_to_float(static_cast<std::uint16_t>(ups[i / 2] >> shift & 0xffffu)), factor);
  }
}

__device__ void store_halves(__half* out, const float (&values)[8], float factor) {
  std::uint32_t words[4];
#pragma unroll
  for (int i = 0; i < 4; ++i)
    words[i] = pack_halves(values[2 * i] * factor, values[2 * i + 1] * factor);
  *reinterpret_cast<uint4*>(out) = make_uint4(words[0], words[1], words[2], words[3]);
}

// A thread 8 elements of a token (blockIdx.y).
__global__ __launch_bounds__(kThreads) void silu_mul_half_kernel(__half* gate_up,
                                                                 int n_ff,
                                                                 float in_factor,
                                                                 float out_factor) {
  const int i = 8 * static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (i >= n_ff) return;
  __half* gate = gate_up + static_cast<std::int64_t>(blockIdx.y) * 2 * n_ff + i;
  float values[8];
  activate(values, gate, gate + n_ff, in_factor);
  store_halves(gate, values, out_factor);
}

// One block a token, in two passes: the second computes the values again.
__global__ __launch_bounds__(kThreads) void silu_mul_half_rows_kernel(__half* gate_up,
                                                                      float* __restrict__ scale,
                                                                      int n_ff,
                                                                      float in_factor) {
  __half* gate = gate_up + static_cast<std::int64_t>(blockIdx.x) * 2 * n_ff;
  float values[8], magnitude = 0;
  for (int i = 8 * static_cast<int>(threadIdx.x); i < n_ff; i += 8 * kThreads) {
    activate(values, gate + i, gate + n_ff + i, in_factor);
#pragma unroll
    for (int j = 0; j < 8; ++j) magnitude = fmaxf(magnitude, fabsf(values[j]));
  }
  const int e = half_exponent(block_max<kThreads>(magnitude));
  if (threadIdx.x == 0) scale[blockIdx.x] = power_of_two(-e);
  for (int i = 8 * static_cast<int>(threadIdx.x); i < n_ff; i += 8 * kThreads) {
    activate(values, gate + i, gate + n_ff + i, in_factor);
    store_halves(gate + i, values, power_of_two(e));
  }
}

__global__ void set_int_kernel(int* out, int value) {
  *out = value;
}

}  // namespace

void add(float* x, const float* y, std::int64_t size, cudaStream_t stream) {
  launch(add_kernel, grid_for(size, kThreads), kThreads, stream, x, y, size);
}

void silu_mul(float* gate, const float* up, std::int64_t size, cudaStream_t stream) {
  launch(silu_mul_kernel, grid_for(size, kThreads), kThreads, stream, gate, up, size);
}

void silu_mul_half(
    __half* gate_up, int n, int n_ff, float in_factor, float out_factor, cudaStream_t stream) {
  HAIKUDA_CHECK(n_ff % 8 == 0);
  launch(silu_mul_half_kernel, grid_of(ceil_div(n_ff / 8, kThreads), n), kThreads, stream, gate_up,
         n_ff, in_factor, out_factor);
}

void silu_mul_half_rows(
    __half* gate_up, float* scale, int n, int n_ff, float in_factor, cudaStream_t stream) {
  HAIKUDA_CHECK(n_ff % 8 == 0);
  launch(silu_mul_half_rows_kernel, grid_of(n), kThreads, stream, gate_up, scale, n_ff, in_factor);
}

void set_int(int* out, int value, cudaStream_t stream) {
  launch(set_int_kernel, grid_of(1), 1, stream, out, value);
}

void require_kernels() {
  cudaFuncAttributes attributes{};
  CUDA_CHECK(cudaFuncGetAttributes(&attributes, set_int_kernel));
}

}  // namespace haikuda::cuda
