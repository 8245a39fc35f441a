// Products of activations with weight matrices: by cuBLAS for many tokens, by gemv for few. Which
// precision each type of weights is multiplied in is decided here:
//   F16, quantized  half weights x half activations, F32 sums. Quantized weights are decoded to
//   half first: a scale
//                   is itself a half, so that only a damaged file exceeds half's range; the result
//                   is then infinite, so are the logits, and that is reported. Activations are
//                   scaled row by row into half's range by a power of two, which is undone on the
//                   F32 result: they never overflow.
//   BF16, MXFP4     these have the range of F32: bfloat16 weights x (high + low) bfloat16
//   activations, two products
//                   with F32 sums. On GPUs before sm_80, which lack bfloat16, as F32.
//   F32             F32 throughout, no TF32.
#pragma once

#include <initializer_list>
#include <memory>

#include "cuda/cublas.h"
#include "cuda/device_tensor.h"
#include "cuda/resources.h"

namespace haikuda::cuda {

// Up to as many tokens gemv reads the weights once a token and is still faster than decoding them
// for cuBLAS.
constexpr int kMaxGemvTokens = 4;

// y (n, w.rows) = x · wᵀ of an x that several products share.
struct Product {
  float* y;
  const DeviceTensor& w;
};

class Gemm {
 public:
  struct Sizes {
    std::size_t weight_bytes = 0;  // of the largest decoded matrix
    std::size_t input_elems = 0;   // of the largest x
    int n_rows = 0;                // of x: tokens
    std::size_t bytes() const;     // of device memory
    // Makes room for a matrix.
    void add(DType dtype, std::int64_t rows, std::int64_t cols, bool has_bfloat16);
  };
  Gemm(const Sizes& sizes, bool has_bfloat16, cudaStream_t stream);

  // Opens cuBLAS if n tokens need it.
  void prepare(int n);
  // All matrices have x's row size: x (n, cols). No y overlaps x or another y.
  void multiply(std::initializer_list<Product> products, const float* x, int n);
  // False once a prompt needed cuBLAS and it was not found: then gemv does everything, only slower.
  bool found_cublas() const { return cublas_ != nullptr || !looked_for_cublas_; }

 private:
  // How x is handed to cuBLAS.
  enum class Form { none, f32, f16, split_bf16 };
  static Form form_of(DType dtype, bool has_bfloat16);
  bool open_cublas();
  void convert_input(Form form, const float* x, int n, int cols);
  const void* decoded(const DeviceTensor& w, Form form) const;
  void multiply_converted(const Product& product, Form form, const float* x, int n) const;

  bool has_bfloat16_;
  cudaStream_t stream_;
  DeviceBuffer<std::byte> weights_;    // one decoded matrix
  DeviceBuffer<std::byte> input_;      // x as half, or its high parts and then its low parts
  DeviceBuffer<float> input_scale_;    // (n_rows): undoes the scaling of the half input
  DeviceBuffer<std::byte> workspace_;  // cuBLAS's
  std::unique_ptr<Cublas> cublas_;     // after its workspace: destroyed first
  bool looked_for_cublas_ = false;
};

}  // namespace haikuda::cuda
