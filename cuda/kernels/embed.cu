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
                                                               std::int64_t n_rows,
                                                               int cols) {
  // Who comes next may read what was written before this kernel without waiting itself.
  wait_for_predecessors();
  let_dependents_start();
  const int n_units = cols / kUnitElems<D>;
  const std::int64_t total = n_rows * n_units;
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < total;
       i += step) {
    const std::int64_t row = i / n_units;
    const int unit = static_cast<int>(i - row * n_units);
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
                 const int* tokens,
                 const int* position,
                 std::int64_t n_rows,
                 cudaStream_t stream) {
  HAIKUDA_CHECK(table.cols % kUnitElems<D> == 0);
  const std::int64_t n_units = n_rows * (table.cols / kUnitElems<D>);
  launch_dependent(decode_rows_kernel<D, Out>, grid_for(n_units, kThreads), kThreads, 0, stream,
                   out, planes_of(table), tokens, position, n_rows, table.cols);
}

}  // namespace

void embed(float* out,
           const DeviceTensor& table,
           const int* tokens,
           const int* position,
           int n,
           cudaStream_t stream) {
  dispatch_any(table, [&](auto use) {
    decode_rows<typename decltype(use)::Decoder>(out, table, tokens, position, n, stream);
  });
}

void dequantize_to_f32(float* out, const DeviceTensor& w, cudaStream_t stream) {
  dispatch_any(w, [&](auto use) {
    decode_rows<typename decltype(use)::Decoder>(out, w, nullptr, nullptr, w.rows, stream);
  });
}

void dequantize_to_f16(__half* out, const DeviceTensor& w, cudaStream_t stream) {
  dispatch_quantized(w, [&](auto use) {
    decode_rows<typename decltype(use)::Decoder>(out, w, nullptr, nullptr, w.rows, stream);
  });
}

void dequantize_to_bf16(std::uint16_t* out, const DeviceTensor& w, cudaStream_t stream) {
  HAIKUDA_CHECK(w.dtype == DType::MXFP4);
  decode_rows<DecodeMXFP4>(reinterpret_cast<Bf16*>(out), w, nullptr, nullptr, w.rows, stream);
}

}  // namespace haikuda::cuda
