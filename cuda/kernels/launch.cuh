// How wrappers launch kernels and choose their instances. Host code, for kernels/*.cu only.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/error.h"
#include "cuda/check.h"
#include "cuda/device/decoders.cuh"
#include "cuda/device_tensor.h"

namespace haikuda::cuda {

// With `shared_bytes` of dynamic shared memory and what else `config` says. The arguments are
// converted to the kernel's parameter types.
template <class... Params, class... Args>
void launch_as(cudaLaunchConfig_t config,
               void (*kernel)(Params...),
               dim3 grid,
               int n_threads,
               std::size_t shared_bytes,
               cudaStream_t stream,
               const Args&... args) {
  constexpr std::size_t kWithoutAsking = 32 << 10;  // of 48 KB, beside what a kernel declares
  if (shared_bytes > kWithoutAsking)
    CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                    cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(shared_bytes)));
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(n_threads));
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  CUDA_CHECK(cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...));
  CUDA_CHECK(cudaGetLastError());
}

template <class... Params, class... Args>
void launch_shared(void (*kernel)(Params...),
                   dim3 grid,
                   int n_threads,
                   std::size_t shared_bytes,
                   cudaStream_t stream,
                   const Args&... args) {
  launch_as({}, kernel, grid, n_threads, shared_bytes, stream, args...);
}

template <class... Params, class... Args>
void launch(
    void (*kernel)(Params...), dim3 grid, int n_threads, cudaStream_t stream, Args... args) {
  launch_as({}, kernel, grid, n_threads, 0, stream, args...);
}

// A kernel that may start before its predecessor in the stream has ended (device/async.cuh; before
// sm_90 it does not).
template <class... Params, class... Args>
void launch_dependent(void (*kernel)(Params...),
                      dim3 grid,
                      int n_threads,
                      std::size_t shared_bytes,
                      cudaStream_t stream,
                      const Args&... args) {
  // Kernels may overlap better where they agree on how the L1 cache and shared memory share bytes.
  CUDA_CHECK(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel),
                                  cudaFuncAttributePreferredSharedMemoryCarveout,
                                  cudaSharedmemCarveoutMaxShared));
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.attrs = &early;
  config.numAttrs = device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9 ? 1 : 0;
  launch_as(config, kernel, grid, n_threads, shared_bytes, stream, args...);
}

// A kernel whose blocks wait for each other: all are resident at once, or the launch fails.
template <class... Params, class... Args>
void launch_together(void (*kernel)(Params...),
                     dim3 grid,
                     int n_threads,
                     std::size_t shared_bytes,
                     cudaStream_t stream,
                     const Args&... args) {
  cudaLaunchAttribute attributes[2]{};
  attributes[0].id = cudaLaunchAttributeCooperative;
  attributes[0].val.cooperative = 1;
  attributes[1].id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attributes[1].val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.attrs = attributes;
  config.numAttrs = device_attribute(cudaDevAttrComputeCapabilityMajor) >= 9 ? 2 : 1;
  launch_as(config, kernel, grid, n_threads, shared_bytes, stream, args...);
}

// Sizes of a grid; blocks of y and z are at most 65535.
inline dim3 grid_of(std::int64_t x, std::int64_t y = 1, std::int64_t z = 1) {
  HAIKUDA_CHECK(x >= 1 && x <= std::numeric_limits<std::int32_t>::max());
  HAIKUDA_CHECK(y >= 1 && y <= 65535 && z >= 1 && z <= 65535);
  return dim3(static_cast<unsigned>(x), static_cast<unsigned>(y), static_cast<unsigned>(z));
}
inline std::int64_t ceil_div(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// Blocks of a kernel that walks over `size` elements in steps of the grid: enough to fill any GPU.
inline dim3 grid_for(std::int64_t size, int n_threads) {
  constexpr std::int64_t kMost = 4096;
  return grid_of(std::clamp<std::int64_t>(ceil_div(size, n_threads), 1, kMost));
}

// A decoder as a value, so that a generic lambda can take it.
template <class D>
struct Use {
  using Decoder = D;
};

// Calls f(Use<Decoder>{}) for the type of w. Plain types whose rows are no multiple of 16 bytes are
// decoded element by element.
template <class F>
auto dispatch_plain(const DeviceTensor& w, F&& f) {
  const bool vector = w.cols % 8 == 0;
  switch (w.dtype) {
    case DType::F32:
      return vector ? f(Use<DecodeF32>{}) : f(Use<DecodeF32Scalar>{});
    case DType::F16:
      return vector ? f(Use<DecodeF16>{}) : f(Use<DecodeF16Scalar>{});
    case DType::BF16:
      return vector ? f(Use<DecodeBF16>{}) : f(Use<DecodeBF16Scalar>{});
    default:
      throw Error(ExitCode::internal,
                  std::string("no plain CUDA decoder for ") + dtype_name(w.dtype));
  }
}
// The same for the types that long prompts multiply in half (Gemm::takes_half).
template <class F>
auto dispatch_half(const DeviceTensor& w, F&& f) {
  switch (w.dtype) {
    case DType::F16:
      HAIKUDA_CHECK(w.cols % 8 == 0);
      return f(Use<DecodeF16>{});
    case DType::Q4_0:
      return f(Use<DecodeQ4_0>{});
    case DType::Q4_1:
      return f(Use<DecodeQ4_1>{});
    case DType::Q5_0:
      return f(Use<DecodeQ5_0>{});
    case DType::Q5_1:
      return f(Use<DecodeQ5_1>{});
    case DType::Q8_0:
      return f(Use<DecodeQ8_0>{});
    case DType::Q2_K:
      return f(Use<DecodeQ2_K>{});
    case DType::Q3_K:
      return f(Use<DecodeQ3_K>{});
    case DType::Q4_K:
      return f(Use<DecodeQ4_K>{});
    case DType::Q5_K:
      return f(Use<DecodeQ5_K>{});
    case DType::Q6_K:
      return f(Use<DecodeQ6_K>{});
    case DType::IQ4_NL:
      return f(Use<DecodeIQ4_NL>{});
    case DType::IQ4_XS:
      return f(Use<DecodeIQ4_XS>{});
    default:
      throw Error(ExitCode::internal,
                  std::string("no CUDA decoder of halves for ") + dtype_name(w.dtype));
  }
}
template <class F>
auto dispatch_any(const DeviceTensor& w, F&& f) {
  if (dtype_info(w.dtype).block_elems == 1) return dispatch_plain(w, f);
  if (w.dtype == DType::MXFP4) return f(Use<DecodeMXFP4>{});
  return dispatch_half(w, f);
}

// Elements of a unit of decoder D.
template <class D>
constexpr int kUnitElems = D::kRuns* D::kRun;

}  // namespace haikuda::cuda
