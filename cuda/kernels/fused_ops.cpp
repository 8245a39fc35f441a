// The fused products of decoding: which kernel takes which matrices.
#include <array>
#include <limits>

#include "base/error.h"
#include "cuda/kernels/gemv_params.h"
#include "cuda/layout.h"

namespace haikuda::cuda {
namespace {

GemvCall empty_call(DType dtype, int cols, cudaStream_t stream, const GemvPlan* plan) {
  GemvCall call{.dtype = dtype, .params = {}, .plan = plan, .stream = stream};
  call.params.cols = cols;
  for (GemvMatrix& m : call.params.matrices) m.first_row = std::numeric_limits<int>::max();
  return call;
}

void set_matrix(GemvCall& call, int index, const DeviceTensor& w, float* out, const float* bias) {
  HAIKUDA_CHECK(w.dtype == call.dtype && w.cols == call.params.cols);
  HAIKUDA_CHECK(w.rows <= std::numeric_limits<int>::max() - call.params.n_rows);
  call.params.matrices[index] = {planes_of(w), bias, out, call.params.n_rows};
  call.params.n_rows += w.rows;
}

void set_normed_x(GemvCall& call, const float* x, const float* gamma, float eps) {
  call.params.x = x, call.params.gamma = gamma, call.params.eps = eps;
}

// Returns how many blocks were launched.
int run(const GemvCall& call) {
  for (const auto kernel : {run_plain_gemv, run_block32_gemv, run_block256_gemv})
    if (const int n_blocks = kernel(call); n_blocks > 0) return n_blocks;
  return run_any_gemv(call);
}

GemvCall gate_up_call(const DeviceTensor& gate,
                      const DeviceTensor& up,
                      float* out,
                      cudaStream_t stream,
                      const GemvPlan* plan) {
  HAIKUDA_CHECK(gate.rows == up.rows);
  GemvCall call = empty_call(gate.dtype, gate.cols, stream, plan);
  set_matrix(call, 0, gate, out, nullptr);
  set_matrix(call, 1, up, nullptr, nullptr);
  call.params.output = GemvOutput::gate_up;
  return call;
}

}  // namespace

void norm_gemv(std::span<const FusedProduct> products,
               const float* x,
               const float* gamma,
               float eps,
               cudaStream_t stream,
               const GemvPlan* plan) {
  HAIKUDA_CHECK(!products.empty() && products.size() <= 3);
  // One call for each type, in the order in which they come.
  std::array<GemvCall, 3> calls;
  std::array<int, 3> n_matrices{};
  std::size_t n_calls = 0;
  for (const FusedProduct& product : products) {
    std::size_t i = 0;
    while (i < n_calls && calls[i].dtype != product.w.dtype) ++i;
    if (i == n_calls) {
      calls[n_calls++] = empty_call(product.w.dtype, product.w.cols, stream, plan);
      set_normed_x(calls[i], x, gamma, eps);
    }
    set_matrix(calls[i], n_matrices[i]++, product.w, product.y, product.bias);
  }
  if (n_calls == 2 && run_mixed_gemv(calls[0], calls[1]) > 0) return;
  for (std::size_t i = 0; i < n_calls; ++i) run(calls[i]);
}

void gemv_add(
    float* x, const DeviceTensor& w, const float* a, cudaStream_t stream, const GemvPlan* plan) {
  GemvCall call = empty_call(w.dtype, w.cols, stream, plan);
  set_matrix(call, 0, w, x, nullptr);
  call.params.x = a;
  call.params.output = GemvOutput::add;
  run(call);
}

void gemv_add(float* x,
              const DeviceTensor& w,
              const QuantizedActivations& a,
              cudaStream_t stream,
              const GemvPlan* plan) {
  HAIKUDA_CHECK(multiplies_integers(w.dtype));
  GemvCall call = empty_call(w.dtype, w.cols, stream, plan);
  set_matrix(call, 0, w, x, nullptr);
  call.params.quants = a.quants, call.params.blocks = a.blocks;
  call.params.output = GemvOutput::add;
  run(call);
}

void norm_gate_up(float* act,
                  const DeviceTensor& gate,
                  const DeviceTensor& up,
                  const float* x,
                  const float* gamma,
                  float eps,
                  cudaStream_t stream,
                  const GemvPlan* plan) {
  GemvCall call = gate_up_call(gate, up, act, stream, plan);
  set_normed_x(call, x, gamma, eps);
  run(call);
}

void norm_gate_up(const QuantizedActivations& act,
                  const DeviceTensor& gate,
                  const DeviceTensor& up,
                  const float* x,
                  const float* gamma,
                  float eps,
                  cudaStream_t stream,
                  const GemvPlan* plan) {
  HAIKUDA_CHECK(multiplies_integers(gate.dtype) && gate.rows % 32 == 0);
  GemvCall call = gate_up_call(gate, up, nullptr, stream, plan);
  set_normed_x(call, x, gamma, eps);
  call.params.out_quants = act.quants, call.params.out_blocks = act.blocks;
  run(call);
}

bool gate_up_should_quantize(const DeviceTensor& gate,
                             const DeviceTensor& up,
                             const DeviceTensor& down) {
  // Rows so long that x has no room in shared memory are left to run_any_gemv.
  constexpr int kMostCols = 32768;
  if (gate.cols > kMostCols || down.cols > 2 * kMostCols) return false;
  if (gate.dtype != up.dtype || gate.rows % 32 != 0 || !multiplies_integers(gate.dtype) ||
      !multiplies_integers(down.dtype))
    return false;
  return should_quantize_rows(gate_up_shape(gate.dtype, gate.rows, gate.cols), n_multiprocessors());
}

int norm_head(float* logits,
              ArgmaxResult* best,
              ArgmaxResult* partial,
              const DeviceTensor& w,
              const float* x,
              const float* gamma,
              float eps,
              cudaStream_t stream,
              const GemvPlan* plan) {
  GemvCall call = empty_call(w.dtype, w.cols, stream, plan);
  set_matrix(call, 0, w, logits, nullptr);
  set_normed_x(call, x, gamma, eps);
  call.params.output = GemvOutput::logits;
  call.params.partial = partial;
  const int n_blocks = run(call);
  if (best != nullptr) finish_argmax(best, partial, n_blocks, stream);
  return n_blocks;
}

}  // namespace haikuda::cuda
