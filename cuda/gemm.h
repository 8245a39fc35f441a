// Products of activations with weight matrices: by cuBLASLt for many tokens, by gemv for few. Which
// precision each type of weights is multiplied in is decided here:
//   F16, quantized  half weights x half activations, F32 sums. Quantized weights are decoded to
//                   half first: a scale is itself a half, so that only a damaged file exceeds
//                   half's range; the result is then infinite, so are the logits, and that is
//                   reported. Activations that are made in half never overflow (half_scales.h says
//                   why); those made in F32 are scaled row by row by a power of two, which is
//                   undone on the F32 result.
//   BF16, MXFP4     these have the range of F32: bfloat16 weights x (high + low) bfloat16
//                   activations, two products with F32 sums. On GPUs before sm_80, which lack
//                   bfloat16, as F32.
//   F32             F32 throughout, no TF32.
#pragma once

#include <cuda_fp16.h>

#include <initializer_list>
#include <memory>
#include <span>

#include "base/tensor_view.h"
#include "cuda/cublas_lt.h"
#include "cuda/device_tensor.h"
#include "cuda/resources.h"

namespace haikuda::cuda {

// Up to so many tokens gemv does everything: it costs less than opening cuBLASLt (0.2 s), and a
// fixed number keeps results the same whatever was computed before.
constexpr int kMaxGemvTokens = 16;

// y (n, w.rows) = x · wᵀ of an x that several products share.
struct Product {
  float* y;
  const DeviceTensor& w;
};

// y (n, rows of all matrices) = alpha · x (n, cols) · [w …]ᵀ + beta · y in half with F32 sums: the
// matrices, of one row size, stand below each other. Rows of x and y are strides apart, in
// elements.
struct HalfProduct {
  void* y;
  bool y_is_half;
  int y_stride;
  const __half* x;
  int x_stride;
  std::span<const DeviceTensor> w;
  int n;
  float alpha, beta;
};

class Gemm {
 public:
  struct Sizes {
    std::size_t weight_bytes = 0;  // of what is decoded at once
    std::size_t input_elems = 0;   // of the largest F32 x
    int n_rows = 0;                // of F32 x: tokens
    std::size_t bytes() const;     // of device memory
    // Makes room for a matrix.
    void add(DType dtype, std::int64_t rows, std::int64_t cols, bool has_bfloat16);
    // Makes room for matrices of a HalfProduct, unless they are large enough alone.
    void add_joint(std::initializer_list<const TensorView*> matrices);
  };
  Gemm(const Sizes& sizes, bool has_bfloat16, cudaStream_t stream);

  // Whether matrices of this type are multiplied in half.
  static bool takes_half(DType dtype);
  // Looks for cuBLASLt; false when there is none: then gemv does everything, only slower.
  bool open();
  // False once open() has failed.
  bool found_cublas() const { return cublas_ != nullptr || !looked_for_cublas_; }

  // All matrices have x's row size: x (n, cols). No y overlaps x or another y.
  void multiply(std::initializer_list<Product> products, const float* x, int n);
  // takes_half() of all matrices; open() was true; x and y do not overlap.
  void multiply(const HalfProduct& product);

 private:
  // How x is handed to cuBLASLt.
  enum class Form { none, f32, f16, split_bf16 };
  static Form form_of(DType dtype, bool has_bfloat16);
  void convert_input(Form form, const float* x, int n, int cols);
  const void* decoded(const DeviceTensor& w, Form form) const;
  void multiply_converted(const Product& product, Form form, const float* x, int n) const;
  void multiply_rows(const HalfProduct& product, const void* w, int first, int rows) const;
  void decode_rows(std::span<const DeviceTensor> w, int first, int rows) const;

  bool has_bfloat16_;
  cudaStream_t stream_;
  DeviceBuffer<std::byte> weights_;    // decoded rows
  DeviceBuffer<std::byte> input_;      // x as half, or its high parts and then its low parts
  DeviceBuffer<float> input_scale_;    // (n_rows): undoes the scaling of the half input
  DeviceBuffer<std::byte> workspace_;  // cuBLASLt's
  std::unique_ptr<CublasLt> cublas_;
  bool looked_for_cublas_ = false;
};

}  // namespace haikuda::cuda
