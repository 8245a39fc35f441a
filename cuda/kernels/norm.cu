// RMSNorm. Bound by latency at one token, by memory at many: x read twice (once from L1/L2), out
// written once.
#include "cuda/device/load.cuh"
#include "cuda/device/reduce.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;

// One block a token. out may be x: a thread writes only what it alone reads, after it read it for
// the last time.
__global__ __launch_bounds__(kThreads) void rms_norm_kernel(
    float* out, const float* x, const float* __restrict__ weight, int size, float eps) {
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * size;
  const float* row = x + offset;
  float sum = 0;
  for (int i = threadIdx.x; i < size; i += kThreads) sum += row[i] * row[i];
  sum = block_sum<kThreads>(sum);
  const float scale = 1.0f / sqrtf(sum / static_cast<float>(size) + eps);
  for (int i = threadIdx.x; i < size; i += kThreads) out[offset + i] = row[i] * scale * weight[i];
}

// One block a token, whose row stays in registers: kVectors of 4 elements a thread.
template <int kBlock, int kVectors>
__global__ __launch_bounds__(kBlock) void rms_norm_half_kernel(__half* __restrict__ out,
                                                               const float* __restrict__ x,
                                                               const float* __restrict__ weight,
                                                               int size,
                                                               float eps,
                                                               float factor) {
  const std::int64_t offset = static_cast<std::int64_t>(blockIdx.x) * size;
  const int n_vectors = size / 4;
  float4 values[kVectors];
  float sum = 0;
#pragma unroll
  for (int j = 0; j < kVectors; ++j) {
    const int i = static_cast<int>(threadIdx.x) + j * kBlock;
    values[j] =
        i < n_vectors ? reinterpret_cast<const float4*>(x + offset)[i] : make_float4(0, 0, 0, 0);
    sum += values[j].x * values[j].x + values[j].y * values[j].y + values[j].z * values[j].z +
           values[j].w * values[j].w;
  }
  sum = block_sum<kBlock>(sum);
  const float scale = factor / sqrtf(sum / static_cast<float>(size) + eps);
#pragma unroll
  for (int j = 0; j < kVectors; ++j) {
    const int i = static_cast<int>(threadIdx.x) + j * kBlock;
    if (i >= n_vectors) continue;
    const float4 v = values[j], w = reinterpret_cast<const float4*>(weight)[i];
    store_run(out + offset + 4 * i,
              {v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w});
  }
}

}  // namespace

void rms_norm_half(__half* out,
                   const float* x,
                   const float* weight,
                   int n,
                   const HalfNorm& norm,
                   cudaStream_t stream) {
  HAIKUDA_CHECK(norm.size % 4 == 0 && norm.size <= kMaxHalfNorm);
  const auto run = [&](auto kernel, int n_threads) {
    launch(kernel, grid_of(n), n_threads, stream, out, x, weight, norm.size, norm.eps, norm.factor);
  };
  if (norm.size <= 1024) return run(rms_norm_half_kernel<256, 1>, 256);
  if (norm.size <= 2048) return run(rms_norm_half_kernel<256, 2>, 256);
  if (norm.size <= 4096) return run(rms_norm_half_kernel<256, 4>, 256);
  run(rms_norm_half_kernel<1024, 4>, 1024);
}

void rms_norm(float* out,
              const float* x,
              const float* weight,
              int n,
              int size,
              float eps,
              cudaStream_t stream) {
  launch(rms_norm_kernel, grid_of(n), kThreads, stream, out, x, weight, size, eps);
}

}  // namespace haikuda::cuda
