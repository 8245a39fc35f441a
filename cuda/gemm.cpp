#include "cuda/gemm.h"

#include <algorithm>

#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what cuBLAS asks for on Hopper

// Elements between the high and the low parts of x: both start where vectors may.
std::size_t padded(std::size_t n_elems) {
  return (n_elems + 127) / 128 * 128;
}
// x as half, or as two bfloat16.
std::size_t input_bytes(std::size_t n_elems) {
  return 2 * padded(n_elems) * sizeof(std::uint16_t);
}

}  // namespace

std::size_t Gemm::Sizes::bytes() const {
  return weight_bytes + input_bytes(input_elems) +
         static_cast<std::size_t>(n_rows) * sizeof(float) + kWorkspaceBytes;
}

void Gemm::Sizes::add(DType dtype, std::int64_t rows, std::int64_t cols, bool has_bfloat16) {
  const Form form = form_of(dtype, has_bfloat16);
  const bool as_it_lies =
      dtype == DType::F32 || dtype == DType::F16 || (dtype == DType::BF16 && has_bfloat16);
  const std::size_t elem_bytes = as_it_lies ? 0 : form == Form::f32 ? 4 : 2;
  weight_bytes = std::max(weight_bytes, static_cast<std::size_t>(rows * cols) * elem_bytes);
  input_elems =
      std::max(input_elems, static_cast<std::size_t>(n_rows) * static_cast<std::size_t>(cols));
}

Gemm::Gemm(const Sizes& sizes, bool has_bfloat16, cudaStream_t stream)
    : has_bfloat16_(has_bfloat16),
      stream_(stream),
      weights_(sizes.weight_bytes),
      input_(input_bytes(sizes.input_elems)),
      input_scale_(static_cast<std::size_t>(sizes.n_rows)),
      workspace_(kWorkspaceBytes) {}

Gemm::Form Gemm::form_of(DType dtype, bool has_bfloat16) {
  switch (dtype) {
    case DType::F32:
      return Form::f32;
    case DType::BF16:
    case DType::MXFP4:
      return has_bfloat16 ? Form::split_bf16 : Form::f32;
    default:
      return Form::f16;
  }
}

bool Gemm::open_cublas() {
  if (!looked_for_cublas_) cublas_ = Cublas::open(stream_, workspace_);
  looked_for_cublas_ = true;
  return cublas_ != nullptr;
}

void Gemm::prepare(int n) {
  if (n > kMaxGemvTokens) open_cublas();
}

void Gemm::multiply(std::initializer_list<Product> products, const float* x, int n) {
  if (n <= kMaxGemvTokens || !open_cublas()) {
    for (const Product& product : products) gemv(product.y, x, product.w, n, stream_);
    return;
  }
  Form converted = Form::none;  // what input_ holds
  for (const Product& product : products) {
    const Form form = form_of(product.w.dtype, has_bfloat16_);
    if (form != converted) convert_input(form, x, n, product.w.cols);
    converted = form;
    multiply_converted(product, form, x, n);
  }
}

void Gemm::convert_input(Form form, const float* x, int n, int cols) {
  const std::size_t size = static_cast<std::size_t>(n) * static_cast<std::size_t>(cols);
  HAIKUDA_CHECK(input_bytes(size) <= input_.bytes() &&
                static_cast<std::size_t>(n) <= input_scale_.size());
  if (form == Form::f16)
    to_f16_rows(reinterpret_cast<__half*>(input_.data()), input_scale_.data(), x, n, cols, stream_);
  if (form == Form::split_bf16) {
    auto* high = reinterpret_cast<std::uint16_t*>(input_.data());
    split_to_bf16(high, high + padded(size), x, static_cast<std::int64_t>(size), stream_);
  }
}

// w in the type that its products are computed in: where it lies, or decoded into weights_.
const void* Gemm::decoded(const DeviceTensor& w, Form form) const {
  const bool as_it_lies = w.dtype == DType::F32 || w.dtype == DType::F16 ||
                          (w.dtype == DType::BF16 && form == Form::split_bf16);
  if (as_it_lies) return w.data;
  const std::size_t size = static_cast<std::size_t>(w.rows) * static_cast<std::size_t>(w.cols);
  HAIKUDA_CHECK(size * (form == Form::f32 ? 4 : 2) <= weights_.bytes());
  if (form == Form::f32)
    dequantize_to_f32(reinterpret_cast<float*>(weights_.data()), w, stream_);
  else if (form == Form::f16)
    dequantize_to_f16(reinterpret_cast<__half*>(weights_.data()), w, stream_);
  else
    dequantize_to_bf16(reinterpret_cast<std::uint16_t*>(weights_.data()), w, stream_);
  return weights_.data();
}

void Gemm::multiply_converted(const Product& product, Form form, const float* x, int n) const {
  const DeviceTensor& w = product.w;
  Cublas::Gemm gemm{.y = product.y,
                    .x = x,
                    .w = decoded(w, form),
                    .type = CUDA_R_32F,
                    .n = n,
                    .rows = w.rows,
                    .cols = w.cols,
                    .beta = 0};
  if (form == Form::f32) return cublas_->gemm(gemm);
  gemm.x = input_.data();
  gemm.type = form == Form::f16 ? CUDA_R_16F : CUDA_R_16BF;
  cublas_->gemm(gemm);
  if (form == Form::f16) return unscale_rows(product.y, input_scale_.data(), n, w.rows, stream_);
  const std::size_t size = static_cast<std::size_t>(n) * static_cast<std::size_t>(w.cols);
  gemm.x = reinterpret_cast<const std::uint16_t*>(input_.data()) + padded(size);  // the low parts
  gemm.beta = 1;
  cublas_->gemm(gemm);
}

}  // namespace haikuda::cuda
