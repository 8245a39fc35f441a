// Decoding of rows: the embedding lookup, and whole matrices for cuBLAS. Bound by memory: the
// encoded bytes read once, the decoded ones written once.
#include "cuda/device/async.cuh"
#include "cuda/kernels/launch.cuh"
#include "cuda/layout.h"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

constexpr int kThreads = 256;

// One thread a unit. Row r of out is row tokens[*position + r] of the table, or row r where tokens
// is null.
template <class D, class Out>
__global__ __launch_bounds__(kThreads) void decode_rows_kernel(Out* __restrict__ out,
                                                               MatrixPlanes table,
                                                               const int* __restrict__ tokens,
                                                               const int* __restrict__ position,
                                                               unsigned n_units_in_all,
                                                               int cols) {
  // Who comes next may read what was written before this kernel without waiting itself.
  wait_for_predecessors();
  let_dependents_start();
  const unsigned n_units = static_cast<unsigned>(cols / kUnitElems<D>);
  const unsigned step = gridDim.x * kThreads;
  for (unsigned i = blockIdx.x * kThreads + threadIdx.x; i < n_units_in_all; i += step) {
    const std::int64_t row = i / n_units;
    const int unit = static_cast<int>(i % n_units);
    const std::int64_t source = tokens == nullptr ? row : tokens[*position + row];
    float values[D::kRuns][D::kRun];
    D::decode(row_of(table, source), unit, values);
    Out* first = out + row * cols + D::first_column(unit);
#pragma unroll
    for (int r = 0; r < D::kRuns; ++r) store_run(first + r * D::kStride, values[r]);
  }
}

template <class D, class Out>
void decode_rows(Out* out,
                 const DeviceTensor& table,
                 const MatrixPlanes& planes,
                 const int* tokens,
                 const int* position,
                 std::int64_t n_rows,
                 cudaStream_t stream) {
  HAIKUDA_CHECK(table.cols % kUnitElems<D> == 0);
  const std::int64_t n_units = n_rows * (table.cols / kUnitElems<D>);
  HAIKUDA_CHECK(n_units <= std::numeric_limits<std::int32_t>::max());
  launch_dependent(decode_rows_kernel<D, Out>, grid_for(n_units, kThreads), kThreads, 0, stream,
                   out, planes, tokens, position, n_units, table.cols);
}

MatrixPlanes planes_from(const DeviceTensor& w, int first_row) {
  MatrixPlanes planes = planes_of(w);
  for (int p = 0; p < kMaxPlanes; ++p)
    if (planes.data[p] != nullptr) planes.data[p] += first_row * planes.stride;
  return planes;
}

}  // namespace

void embed(float* out,
           const DeviceTensor& table,
           const int* tokens,
           const int* position,
           int n,
           cudaStream_t stream) {
  dispatch_any(table, [&](auto use) {
    decode_rows<typename decltype(use)::Decoder>(out, table, planes_of(table), tokens, position, n,
                                                 stream);
  });
}

void dequantize_to_f32(float* out, const DeviceTensor& w, cudaStream_t stream) {
  dispatch_any(w, [&](auto use) {
    decode_rows<typename decltype(use)::Decoder>(out, w, planes_of(w), nullptr, nullptr, w.rows,
                                                 stream);
  });
}

void dequantize_to_f16(
    __half* out, const DeviceTensor& w, int first_row, int n_rows, cudaStream_t stream) {
  HAIKUDA_CHECK(first_row >= 0 && n_rows >= 1 && n_rows <= w.rows - first_row);
  dispatch_half(w, [&](auto use) {
    decode_rows<typename decltype(use)::Decoder>(out, w, planes_from(w, first_row), nullptr,
                                                 nullptr, n_rows, stream);
  });
}

void dequantize_to_bf16(std::uint16_t* out, const DeviceTensor& w, cudaStream_t stream) {
  HAIKUDA_CHECK(w.dtype == DType::MXFP4);
  decode_rows<DecodeMXFP4>(reinterpret_cast<Bf16*>(out), w, planes_of(w), nullptr, nullptr, w.rows,
                           stream);
}

}  // namespace haikuda::cuda
