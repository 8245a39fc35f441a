// The fused matrix-vector kernels as their wrappers see them: what goes in, and one function a
// family of types, each in a file of its own (fused_gemv_*.cu).
#pragma once

#include <cuda_runtime_api.h>

#include "cuda/device/planes.h"
#include "cuda/gemv_plan.h"
#include "cuda/ops.h"

namespace haikuda::cuda {

enum class GemvOutput {
  store,    // out = y + bias
  add,      // out += y
  gate_up,  // rows alternate: out = silu(gate) · up, in F32 or as integers
  logits,   // out = y, and the greatest of the block
};

struct GemvMatrix {
  MatrixPlanes planes;
  const float* bias;  // or null
  float* out;
  int first_row;  // among the rows of all matrices; beyond n_rows where there is no matrix
};

struct GemvParams {
  GemvMatrix matrices[3];
  int n_rows;
  int cols;
  const float* x;      // (cols) F32, or null: quants and blocks
  const float* gamma;  // (cols): y = W · (x · gamma) / rms(x); or null: y = W · x
  float eps;
  const std::int8_t* quants;
  const ActivationBlock* blocks;
  GemvOutput output;
  std::int8_t* out_quants;  // gate_up: integers instead of out where not null
  ActivationBlock* out_blocks;
  ArgmaxResult* partial;                             // logits: (n_blocks)
  int warps_per_row_log2, tile_rows_log2, n_blocks;  // of the plan
};

struct GemvCall {
  DType dtype;
  GemvParams params;     // but for the plan
  const GemvPlan* plan;  // null: the best
  cudaStream_t stream;
};
// Each returns how many blocks it launched; 0 when it cannot: another type, the size of a row, or
// shared memory.
int run_plain_gemv(const GemvCall& call);     // F32 F16 BF16
int run_block32_gemv(const GemvCall& call);   // Q4_0 Q4_1 Q5_0 Q5_1 Q8_0
int run_block256_gemv(const GemvCall& call);  // Q4_K Q5_K Q6_K
// Two types in one launch; both have the same x.
int run_mixed_gemv(const GemvCall& a, const GemvCall& b);
// Any type and size; x is F32, no output is quantized.
int run_any_gemv(const GemvCall& call);

// argmax.cu: *out = the best of partial (n).
void finish_argmax(ArgmaxResult* out, const ArgmaxResult* partial, int n, cudaStream_t stream);

// The rows of a gate and an up of this type, for should_quantize_rows.
GemvShape gate_up_shape(DType dtype, int n_ff, int cols);
// Types whose products are taken in integers.
bool multiplies_integers(DType dtype);
// Of the current device.
int n_multiprocessors();

}  // namespace haikuda::cuda
