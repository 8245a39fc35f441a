// The kernel manual: every op of the CUDA backend but those that choose tokens (sample_ops.h).
// Twins of cpu/ops.h where the names agree.
//
// All pointers are device memory. Shapes are row-major, n tokens in front, n >= 1. Activations are
// F32 and their rows start at multiples of 16 bytes unless their size is no multiple of 4. Outputs
// alias no input unless said. Every op only enqueues on `stream`: no allocation, no
// synchronisation. Sums run in one fixed order, so that equal inputs give equal bits. `position`
// points to the position of the first of the n tokens: it is read by the kernels, so that a
// launch's arguments never change from token to token.
#pragma once

#include <cuda_fp16.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuda/device/planes.h"
#include "cuda/device_tensor.h"
#include "cuda/gemv_plan.h"
#include "model/architecture.h"

namespace haikuda::cuda {

// ---- repack.cu: of a type that is_repacked().

// Puts the blocks first … first + n - 1 of w, counted row by row and lying at `blocks` as in a
// file, where they belong in w. `blocks` is aligned to 4 bytes and is no part of w.
void repack(const DeviceTensor& w,
            const std::byte* blocks,
            std::int64_t first,
            std::int64_t n,
            cudaStream_t stream);

// ---- embed.cu: rows of a matrix of any type, decoded. Exactly the values of quant/dequantize.h.

// out (n, table.cols) = rows tokens[*position + t] of table. The ids are valid.
void embed(float* out,
           const DeviceTensor& table,
           const int* tokens,
           const int* position,
           int n,
           cudaStream_t stream);
// out (w.rows, w.cols) = w.
void dequantize_to_f32(float* out, const DeviceTensor& w, cudaStream_t stream);
// Rows first_row … of w rounded to half, out (n_rows, w.cols); a value beyond 65504 becomes
// infinity, and with it the logits: never silently wrong. Of a type that Gemm::takes_half.
void dequantize_to_f16(
    __half* out, const DeviceTensor& w, int first_row, int n_rows, cudaStream_t stream);
// MXFP4 only, whose range is that of F32 and whose four bits BF16 holds exactly.
void dequantize_to_bf16(std::uint16_t* out, const DeviceTensor& w, cudaStream_t stream);

// ---- gemv.cu

// y (n, w.rows) = x (n, w.cols) · wᵀ, w of any type. Reads w once for up to 8 tokens: for small n.
void gemv(float* y, const float* x, const DeviceTensor& w, int n, cudaStream_t stream);

struct ArgmaxResult {
  float value;
  int index;         // the lowest of equals; NaN never wins; 0 when all are NaN
  int n_not_finite;  // NaN and infinities among the values
};

// ---- fused_ops.cpp: the products of decoding one token, each with what lies before and behind it
// in one launch. Launched programmatically dependent (device/async.cuh): in a chain of these only
// the latency of their first bytes shows. Weights of the types that multiplies_integers() names are
// multiplied by x as integers (device/planes.h); others in F32. `plan` is for tuning; null: the
// plan that gemv_plan.h chooses.

struct FusedProduct {
  float* y;  // (w.rows)
  const DeviceTensor& w;
  const float* bias;  // (w.rows) or null
};
// y = w · (x · gamma / rms(x)) + bias for one to three matrices of x's size and of any types.
// x, gamma (cols). One launch where the types are equal or one of the mixtures of
// fused_gemv_mixed.cu.
void norm_gemv(std::span<const FusedProduct> products,
               const float* x,
               const float* gamma,
               float eps,
               cudaStream_t stream,
               const GemvPlan* plan = nullptr);

// x (w.rows) += w · a, a (w.cols).
void gemv_add(float* x,
              const DeviceTensor& w,
              const float* a,
              cudaStream_t stream,
              const GemvPlan* plan = nullptr);

// n values as integers: quants (kActivationPlanes, n), blocks (n / 32).
struct QuantizedActivations {
  std::int8_t* quants;
  ActivationBlock* blocks;
};
// The same of integer a; multiplies_integers(w.dtype).
void gemv_add(float* x,
              const DeviceTensor& w,
              const QuantizedActivations& a,
              cudaStream_t stream,
              const GemvPlan* plan = nullptr);

// act (gate.rows) = silu(gate · n) · (up · n), n = x · gamma / rms(x); gate and up of one type and
// size.
void norm_gate_up(float* act,
                  const DeviceTensor& gate,
                  const DeviceTensor& up,
                  const float* x,
                  const float* gamma,
                  float eps,
                  cudaStream_t stream,
                  const GemvPlan* plan = nullptr);
// The same as integers; gate.rows is a multiple of 32 and multiplies_integers(gate.dtype).
void norm_gate_up(const QuantizedActivations& act,
                  const DeviceTensor& gate,
                  const DeviceTensor& up,
                  const float* x,
                  const float* gamma,
                  float eps,
                  cudaStream_t stream,
                  const GemvPlan* plan = nullptr);
// Whether the second is possible for these matrices, and worth it on the current device.
bool gate_up_should_quantize(const DeviceTensor& gate,
                             const DeviceTensor& up,
                             const DeviceTensor& down);

// logits (w.rows) = w · (x · gamma / rms(x)), *best as argmax's of them where it is not null. In
// partial (kMaxGemvBlocks) it leaves the best of each block; returns their number.
int norm_head(float* logits,
              ArgmaxResult* best,
              ArgmaxResult* partial,
              const DeviceTensor& w,
              const float* x,
              const float* gamma,
              float eps,
              cudaStream_t stream,
              const GemvPlan* plan = nullptr);

// ---- norm.cu

// out (n, size) = x · weight (size) / sqrt(mean(x²) + eps); out may be x.
void rms_norm(float* out,
              const float* x,
              const float* weight,
              int n,
              int size,
              float eps,
              cudaStream_t stream);

struct HalfNorm {
  int size;
  float eps;
  float factor;
};
constexpr int kMaxHalfNorm = 16384;
// The same times `factor`, in half, for the matrix units; size is a multiple of 4 and at most
// kMaxHalfNorm. half_scales.h has the factor that keeps all in half's range.
void rms_norm_half(__half* out,
                   const float* x,
                   const float* weight,
                   int n,
                   const HalfNorm& norm,
                   cudaStream_t stream);

// ---- row_norms.cu

// *out = max(*out, length of the longest row of w · gamma), gamma (w.cols); *out is at least 0. Of
// a type that Gemm::takes_half.
void greatest_row_norm(float* out, const DeviceTensor& w, const float* gamma, cudaStream_t stream);

// ---- elementwise.cu

// x (size) += y (size), in place.
void add(float* x, const float* y, std::int64_t size, cudaStream_t stream);
// gate (size) = silu(gate) · up, in place.
void silu_mul(float* gate, const float* up, std::int64_t size, cudaStream_t stream);
// gate_up (n, 2, n_ff) in half, gate then up, each times 1 / in_factor: gate = silu(gate) · up ·
// out_factor, in place. n_ff is a multiple of 8.
void silu_mul_half(
    __half* gate_up, int n, int n_ff, float in_factor, float out_factor, cudaStream_t stream);
// The same with a power of two for each row instead of out_factor, which brings the row into half's
// range whatever is in it; scale (n) undoes it.
void silu_mul_half_rows(
    __half* gate_up, float* scale, int n, int n_ff, float in_factor, cudaStream_t stream);
// *out = value: the way inputs of later launches change.
void set_int(int* out, int value, cudaStream_t stream);
// Throws Error(no_gpu) where this program holds no code for the current device. Launches nothing;
// loads the code of the kernels of elementwise.cu, which every run needs.
void require_kernels();

// ---- rope.cu

// cos_sin (n_positions, n_pairs, 2) F32 = {cos, sin}(position · radians[i]) · magnitude, in double
// precision.
void rope_table(float* cos_sin,
                const double* radians,
                double magnitude,
                int n_positions,
                int n_pairs,
                cudaStream_t stream);

// What lies between the projections and attention: bias, norm of each head, rotation, store into
// the cache.
struct QkvShape {
  int n;  // tokens
  int n_heads, n_kv_heads, head_dim, n_dims;
  RopeStyle style;
  float eps;  // of the norms of heads
};
// Where finish_qkv leaves what it makes on its way, for a probe; all null: nowhere.
struct QkvSteps {
  float *q, *k, *v;        // (n, n_heads, head_dim), (n, n_kv_heads, head_dim) twice: with the bias
  float *q_norm, *k_norm;  // the same after the norms of heads, where there are any
};
struct QkvVectors {
  const float *q_bias, *k_bias,
      *v_bias;  // (n_heads·head_dim), (n_kv_heads·head_dim) twice; all or none null
  const float *q_norm, *k_norm;  // (head_dim); both or none null
  const float* cos_sin;          // rope_table's
  QkvSteps steps = {};
};
// q (n, n_heads, head_dim) in place. k and v (n, n_kv_heads, head_dim) are read; rounded to half
// they go to rows *position … of k_cache and v_cache (n_ctx, n_kv_heads, head_dim).
void finish_qkv(float* q,
                __half* k_cache,
                __half* v_cache,
                const float* k,
                const float* v,
                const int* position,
                const QkvVectors& vectors,
                const QkvShape& shape,
                cudaStream_t stream);

// Queries in half, each head of a token times a power of two that keeps it in half's range.
struct HalfQueries {
  __half* rows;  // (n, n_heads, head_dim)
  float* scale;  // (n, n_heads): undoes it
};
// The same of projections that lie beside each other, qkv (n, q then k then v); q goes to halves.
void finish_qkv_half(const HalfQueries& q,
                     __half* k_cache,
                     __half* v_cache,
                     const float* qkv,
                     const int* position,
                     const QkvVectors& vectors,
                     const QkvShape& shape,
                     cudaStream_t stream);

// ---- attention_decode.cu, attention_prefill.cu, attention_half.cu

struct AttentionShape {
  int n;  // query tokens: the first sees *position + 1 keys, the next one more each
  int n_heads, n_kv_heads, head_dim;
};
// Keys a split of attention_decode takes at a time.
constexpr int kAttentionSlice = 64;
// Blocks over the keys of one head; constant, so that the grid does not depend on the position.
constexpr int kAttentionSplits = 32;
// Tokens up to which it is split: more fill the GPU by themselves.
constexpr int kMaxSplitTokens = 16;
// Floats of scratch that attention_decode needs.
std::size_t attention_scratch_size(const AttentionShape& shape);

// out (n, n_heads, head_dim) = softmax(q · kᵀ / sqrt(head_dim)) · v with causal mask, scores and
// sums in F32. k, v (n_ctx, n_kv_heads, head_dim); head h uses KV head h / (n_heads / n_kv_heads).
// For few tokens: the keys of a head are shared out over kAttentionSplits blocks, whose results are
// combined in order.
void attention_decode(float* out,
                      float* scratch,
                      const float* q,
                      const __half* k,
                      const __half* v,
                      const int* position,
                      const AttentionShape& shape,
                      cudaStream_t stream);
// The same for many tokens, which share the keys they read; heads of more than 256 elements take
// the other way.
void attention_prefill(float* out,
                       float* scratch,
                       const float* q,
                       const __half* k,
                       const __half* v,
                       const int* position,
                       const AttentionShape& shape,
                       cudaStream_t stream);

// The same on the matrix units (sm_80 and later): half products, F32 sums and softmax; the weights
// of the softmax are rounded to half, and so is out (n, n_heads, head_dim), which may be q.rows.
// Head sizes of takes_attention_half().
void attention_half(__half* out,
                    const HalfQueries& q,
                    const __half* k,
                    const __half* v,
                    const int* position,
                    const AttentionShape& shape,
                    cudaStream_t stream);
bool takes_attention_half(int head_dim);

// ---- attend_token.cu: finish_qkv and attention_decode of one token in one kernel.

// Device memory that attend_token needs beside its arguments.
struct TokenScratchSize {
  std::size_t n_partial;   // floats
  std::size_t n_arrivals;  // counters, 0 before the first use and after each
};
TokenScratchSize attend_token_scratch(const QkvShape& shape);

// How keys are shared out over blocks; results differ by the order of sums alone.
struct AttendPlan {
  int keys_alone = 1024;   // up to so many past keys a block takes one query head and all its keys
  int steps_to_split = 2;  // beyond: steps of 256 / (head_dim / 8) keys a block takes at least
};

// out (n_heads, head_dim) = attention of the token at *position to all keys up to its own; shape.n
// is 1. q (n_heads, head_dim), k and v (n_kv_heads, head_dim) are the projections as they come,
// with biases already added where the vectors have none; q may be overwritten. Writes row *position
// of the caches, and reads those before. *position and the rows before are read before the chain's
// previous kernel has ended (device/async.cuh): no kernel of the chain writes them. The grid does
// not depend on the position; blocks that few keys leave without work end at once. Heads of more
// than 256 elements, or of no multiple of 8, take the two other ops.
void attend_token(float* out,
                  float* partial,
                  unsigned* arrivals,
                  float* q,
                  __half* k_cache,
                  __half* v_cache,
                  const float* k,
                  const float* v,
                  const int* position,
                  const QkvVectors& vectors,
                  const QkvShape& shape,
                  cudaStream_t stream,
                  const AttendPlan& plan = {});

// ---- convert.cu: activations for the matrix units and back, without loss of range.

// out (n, cols) = half(x · 2^e), scale (n) = 2^-e. e is 0 for a row whose greatest magnitude is
// between 2^-4 and 2^15 (or 0, or not finite), otherwise such that it lies in [2^13, 2^14).
void to_f16_rows(__half* out, float* scale, const float* x, int n, int cols, cudaStream_t stream);
// y (n, cols) row t *= scale[t], in place. Rows with scale 1 cost one read.
void unscale_rows(float* y, const float* scale, int n, int cols, cudaStream_t stream);
// x (n, cols) row t += y row t · scale[t].
void add_scaled_rows(
    float* x, const float* y, const float* scale, int n, int cols, cudaStream_t stream);
// How rows of halves lie, and what undoes their scaling.
struct HalfRows {
  std::int64_t stride;  // elements from row to row
  float factor = 1;
  const float* row_factors = nullptr;  // (n) or null
};
// out (n, cols) = in · factor (· row_factors[t]) in F32.
void widen_rows(
    float* out, const __half* in, int n, int cols, const HalfRows& rows, cudaStream_t stream);
// x = high + low but for 2^-17 of it, in bfloat16.
void split_to_bf16(std::uint16_t* high,
                   std::uint16_t* low,
                   const float* x,
                   std::int64_t size,
                   cudaStream_t stream);

// ---- argmax.cu

constexpr int kArgmaxBlocks = 64;
// partial (kArgmaxBlocks) is scratch.
void argmax(
    ArgmaxResult* out, ArgmaxResult* partial, const float* values, int n, cudaStream_t stream);

// ---- read.cu: reading alone, to measure what the memory gives.

// out (n_blocks): the exclusive or of all of them is that of the data's 32-bit words. `data` is
// aligned to 16 bytes, `bytes` a multiple of 16.
void xor_words(
    std::uint32_t* out, const void* data, std::size_t bytes, int n_blocks, cudaStream_t stream);

}  // namespace haikuda::cuda
