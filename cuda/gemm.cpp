#include "cuda/gemm.h"

#include <algorithm>

#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  // what cuBLAS asks for on Hopper
constexpr std::size_t kJointBytes = std::size_t{64} << 20;  // of matrices decoded together, at most
constexpr int kAlignedCols = 8;  // rows of 16 bytes in any type; others are for gemv
constexpr int kRowStep = 256;    // decoded at once: whole tiles of a product

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

void Gemm::Sizes::add_joint(std::initializer_list<const TensorView*> matrices) {
  std::size_t elems = 0;
  bool decodes = false;
  for (const TensorView* m : matrices) {
    elems += static_cast<std::size_t>(m->size());
    decodes |= m->dtype != DType::F16;
  }
  if (decodes)
    weight_bytes = std::max(weight_bytes, std::min(elems * sizeof(std::uint16_t), kJointBytes));
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

bool Gemm::takes_half(DType dtype) {
  return form_of(dtype, true) == Form::f16;
}

bool Gemm::open() {
  if (!looked_for_cublas_) cublas_ = CublasLt::open(workspace_);
  looked_for_cublas_ = true;
  return cublas_ != nullptr;
}

void Gemm::multiply(std::initializer_list<Product> products, const float* x, int n) {
  const bool is_aligned = products.begin()->w.cols % kAlignedCols == 0;
  if (n <= kMaxGemvTokens || !is_aligned || !open()) {
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
    dequantize_to_f16(reinterpret_cast<__half*>(weights_.data()), w, 0, w.rows, stream_);
  else
    dequantize_to_bf16(reinterpret_cast<std::uint16_t*>(weights_.data()), w, stream_);
  return weights_.data();
}

void Gemm::multiply_converted(const Product& product, Form form, const float* x, int n) const {
  const DeviceTensor& w = product.w;
  CublasLt::Product gemm{.y = product.y,
                         .x = x,
                         .w = decoded(w, form),
                         .type = CUDA_R_32F,
                         .y_type = CUDA_R_32F,
                         .n = n,
                         .rows = w.rows,
                         .cols = w.cols,
                         .x_stride = w.cols,
                         .y_stride = w.rows,
                         .alpha = 1,
                         .beta = 0};
  if (form == Form::f32) return cublas_->multiply(gemm, stream_);
  gemm.x = input_.data();
  gemm.type = form == Form::f16 ? CUDA_R_16F : CUDA_R_16BF;
  cublas_->multiply(gemm, stream_);
  if (form == Form::f16) return unscale_rows(product.y, input_scale_.data(), n, w.rows, stream_);
  const std::size_t size = static_cast<std::size_t>(n) * static_cast<std::size_t>(w.cols);
  gemm.x = reinterpret_cast<const std::uint16_t*>(input_.data()) + padded(size);  // the low parts
  gemm.beta = 1;
  cublas_->multiply(gemm, stream_);
}

// F16 matrices that lie below each other are one; others are decoded below each other, as many rows
// at a time as there is room for.
void Gemm::multiply(const HalfProduct& p) {
  const bool as_they_lie =
      std::all_of(p.w.begin(), p.w.end(), [](const auto& w) { return w.dtype == DType::F16; });
  int rows = 0;
  if (as_they_lie) {
    const auto end_of = [](const DeviceTensor& w) {
      return static_cast<const std::uint16_t*>(w.data) + static_cast<std::int64_t>(w.rows) * w.cols;
    };
    for (std::size_t i = 0, first = 0; i < p.w.size(); ++i) {
      const bool is_last = i + 1 == p.w.size() || end_of(p.w[i]) != p.w[i + 1].data;
      if (!is_last) continue;
      const int begin = rows;
      for (std::size_t j = first; j <= i; ++j) rows += p.w[j].rows;
      multiply_rows(p, p.w[first].data, begin, rows - begin);
      first = i + 1;
    }
    return;
  }
  for (const DeviceTensor& w : p.w) rows += w.rows;
  const auto row_bytes = static_cast<std::size_t>(p.w[0].cols) * sizeof(std::uint16_t);
  const int most = static_cast<int>(std::min<std::size_t>(weights_.bytes() / row_bytes, 1u << 30));
  const int n_parts = (rows + most - 1) / most;
  int step = rows;  // equal parts, of whole tiles where there is room
  if (n_parts > 1) {
    step = ((rows + n_parts - 1) / n_parts + kRowStep - 1) / kRowStep * kRowStep;
    if (step > most) step = std::max(most / kRowStep * kRowStep, std::min(most, kRowStep));
  }
  for (int first = 0; first < rows; first += step) {
    const int n_rows = std::min(step, rows - first);
    decode_rows(p.w, first, n_rows);
    multiply_rows(p, weights_.data(), first, n_rows);
  }
}

// Rows first … of all matrices, counted from the first one's, into weights_.
void Gemm::decode_rows(std::span<const DeviceTensor> w, int first, int rows) const {
  auto* out = reinterpret_cast<__half*>(weights_.data());
  HAIKUDA_CHECK(static_cast<std::size_t>(rows) * static_cast<std::size_t>(w[0].cols) *
                    sizeof(__half) <=
                weights_.bytes());
  int start = 0;  // of a matrix among the rows
  for (const DeviceTensor& m : w) {
    const int begin = std::max(first, start), end = std::min(first + rows, start + m.rows);
    if (begin < end)
      dequantize_to_f16(out + static_cast<std::int64_t>(begin - first) * m.cols, m, begin - start,
                        end - begin, stream_);
    start += m.rows;
  }
}

// Columns first … of y, whose weights are w.
void Gemm::multiply_rows(const HalfProduct& p, const void* w, int first, int rows) const {
  const int elem_bytes = p.y_is_half ? 2 : 4;
  cublas_->multiply(
      {.y = static_cast<std::byte*>(p.y) + static_cast<std::int64_t>(first) * elem_bytes,
       .x = p.x,
       .w = w,
       .type = CUDA_R_16F,
       .y_type = p.y_is_half ? CUDA_R_16F : CUDA_R_32F,
       .n = p.n,
       .rows = rows,
       .cols = p.w[0].cols,
       .x_stride = p.x_stride,
       .y_stride = p.y_stride,
       .alpha = p.alpha,
       .beta = p.beta},
      stream_);
}

}  // namespace haikuda::cuda
