// cuBLAS, opened when a prompt first needs it: the program starts, decodes and runs on the CPU
// without the library.
#pragma once

#include <cublas_api.h>

#include <memory>

#include "cuda/resources.h"

namespace haikuda::cuda {

class Cublas {
 public:
  // Null when no libcublas of a known version is found. `workspace` is set once, so that the choice
  // of algorithm, and with it every bit of the results, does not depend on what else is in memory;
  // it outlives this.
  static std::unique_ptr<Cublas> open(cudaStream_t stream,
                                      const DeviceBuffer<std::byte>& workspace);
  ~Cublas();
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;

  // Row-major y (n, rows) = x (n, cols) · wᵀ + beta · y with w (rows, cols); F32 sums. x and w have
  // one type.
  struct Gemm {
    float* y;
    const void* x;
    const void* w;
    cudaDataType_t type;
    int n, rows, cols;
    float beta;
  };
  void gemm(const Gemm& gemm) const;

 private:
  struct Functions;
  explicit Cublas(std::unique_ptr<Functions> functions);
  void set_up(cudaStream_t stream, const DeviceBuffer<std::byte>& workspace) const;

  std::unique_ptr<Functions> functions_;
  cublasHandle_t handle_ = nullptr;
};

}  // namespace haikuda::cuda
