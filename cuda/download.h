// Copies to the host for those who look inside. Each waits for all that was enqueued before.
#pragma once

#include <cuda_fp16.h>

#include <vector>

#include "cuda/check.h"

namespace haikuda::cuda {

template <class T>
std::vector<T> download(const T* from, std::size_t size, cudaStream_t stream) {
  std::vector<T> out(size);
  CUDA_CHECK(cudaMemcpyAsync(out.data(), from, size * sizeof(T), cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  return out;
}

inline std::vector<float> download_as_float(const __half* from,
                                            std::size_t size,
                                            cudaStream_t stream) {
  const std::vector<__half> halves = download(from, size, stream);
  std::vector<float> out;
  out.reserve(size);
  for (const __half x : halves) out.push_back(__half2float(x));
  return out;
}

}  // namespace haikuda::cuda
