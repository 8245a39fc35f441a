#include "sick_ops.h"

#include <cmath>
#include <memory>

#include "cuda/check.h"
#include "cuda/download.h"
#include "cuda/ops.h"
#include "cuda/resources.h"

namespace haikuda::test {
namespace {

using namespace cuda;

constexpr int kPositions = 64;  // that a model in a test has at most

Fault fault = Fault::none;
int n_layers_of_model = 1;

// Each of these ops runs once a layer of a pass.
bool is_sick_layer(int& n_calls) {
  return fault != Fault::none && n_calls++ % n_layers_of_model == kSickLayer;
}
// Asked where the fault is planted.
int n_times = 0;
bool is(Fault asked) {
  if (fault != asked) return false;
  ++n_times;
  return true;
}
int qkv_calls = 0, qkv_half_calls = 0, decode_calls = 0, prefill_calls = 0, half_calls = 0,
    token_calls = 0;

template <class T>
void upload(T* to, const std::vector<T>& values, cudaStream_t stream) {
  CUDA_CHECK(cudaMemcpyAsync(to, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice,
                             stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
}

// Of rows (n, n_heads, size): head h goes to where the mapping by division uses the KV head that
// the mapping by remainder uses for h, or back from there.
template <class T>
void permute(T* rows, const AttentionShape& s, int size, bool back, cudaStream_t stream) {
  const std::size_t n = static_cast<std::size_t>(s.n) * s.n_heads * size;
  const std::vector<T> from = download(rows, n, stream);
  std::vector<T> to(n);
  for (int t = 0; t < s.n; ++t)
    for (int h = 0; h < s.n_heads; ++h) {
      const int other = h % s.n_kv_heads * (s.n_heads / s.n_kv_heads) + h / s.n_kv_heads;
      const int source = back ? other : h, target = back ? h : other;
      for (int d = 0; d < size; ++d)
        to[(static_cast<std::size_t>(t) * s.n_heads + target) * size + d] =
            from[(static_cast<std::size_t>(t) * s.n_heads + source) * size + d];
    }
  upload(rows, to, stream);
}

void multiply(float* values, std::size_t n, float factor, cudaStream_t stream) {
  std::vector<float> all = download(values, n, stream);
  for (float& x : all) x *= factor;
  upload(values, all, stream);
}

float missing_scale(const AttentionShape& s) {
  return std::sqrt(static_cast<float>(s.head_dim));
}

AttentionShape attention_shape(const QkvShape& s) {
  return {s.n, s.n_heads, s.n_kv_heads, s.head_dim};
}

// A copy of F32 queries, which an op reads only, with the fault.
std::unique_ptr<DeviceBuffer<float>> sick_queries(const float* q,
                                                  const AttentionShape& s,
                                                  cudaStream_t stream) {
  const std::size_t n = static_cast<std::size_t>(s.n) * s.n_heads * s.head_dim;
  auto out = std::make_unique<DeviceBuffer<float>>(n);
  upload(out->data(), download(q, n, stream), stream);
  if (is(Fault::gqa_by_modulo)) permute(out->data(), s, s.head_dim, false, stream);
  if (is(Fault::no_attention_scale)) multiply(out->data(), n, missing_scale(s), stream);
  return out;
}

// What finish_qkv and attend_token are given.
struct SickQkv {
  __half *k_cache, *v_cache;
  QkvVectors vectors;

  void make_sick(const QkvShape& s, cudaStream_t stream) {
    const std::ptrdiff_t slot = static_cast<std::ptrdiff_t>(s.n_kv_heads) * s.head_dim;
    if (is(Fault::kv_slot_off_by_one)) k_cache += slot, v_cache += slot;
    if (!is(Fault::rope_position_zero)) return;
    static const DeviceBuffer<float> table(static_cast<std::size_t>(kPositions) * 256);
    const std::vector<float> zero =
        download(vectors.cos_sin, static_cast<std::size_t>(s.n_dims), stream);
    std::vector<float> all;
    for (int p = 0; p < kPositions; ++p) all.insert(all.end(), zero.begin(), zero.end());
    upload(table.data(), all, stream);
    vectors.cos_sin = table.data();
  }
};

// Each token of the pass sees its own value alone, which lies in the cache.
template <class T>
void see_own_values(T* out,
                    const __half* v_cache,
                    const int* position,
                    const AttentionShape& s,
                    cudaStream_t stream) {
  const std::size_t size = static_cast<std::size_t>(s.n_kv_heads) * s.head_dim;
  const auto first = static_cast<std::size_t>(download(position, 1, stream)[0]);
  const std::vector<__half> own = download(v_cache + first * size, s.n * size, stream);
  std::vector<T> all;
  for (int t = 0; t < s.n; ++t)
    for (int h = 0; h < s.n_heads; ++h) {
      const std::size_t begin = t * size + h / (s.n_heads / s.n_kv_heads) * s.head_dim;
      for (int d = 0; d < s.head_dim; ++d) all.push_back(static_cast<T>(own[begin + d]));
    }
  upload(out, all, stream);
}

}  // namespace

void plant(Fault planted, int n_layers) {
  fault = planted;
  n_layers_of_model = n_layers;
  n_times = 0;
  for (int* n :
       {&qkv_calls, &qkv_half_calls, &decode_calls, &prefill_calls, &half_calls, &token_calls})
    *n = 0;
}

int n_planted() {
  return n_times;
}

}  // namespace haikuda::test

// The names are those that the compiler gives to the ops of cuda/ops.h.
#define HAIKUDA_QKV_NAME \
  _ZN7haikuda4cuda10finish_qkvEPfP6__halfS3_PKfS5_PKiRKNS0_10QkvVectorsERKNS0_8QkvShapeEP11CUstream_st
#define HAIKUDA_QKV_HALF_NAME \
  _ZN7haikuda4cuda15finish_qkv_halfERKNS0_11HalfQueriesEP6__halfS5_PKfPKiRKNS0_10QkvVectorsERKNS0_8QkvShapeEP11CUstream_st
#define HAIKUDA_DECODE_NAME \
  _ZN7haikuda4cuda16attention_decodeEPfS1_PKfPK6__halfS6_PKiRKNS0_14AttentionShapeEP11CUstream_st
#define HAIKUDA_PREFILL_NAME \
  _ZN7haikuda4cuda17attention_prefillEPfS1_PKfPK6__halfS6_PKiRKNS0_14AttentionShapeEP11CUstream_st
#define HAIKUDA_HALF_NAME \
  _ZN7haikuda4cuda14attention_halfEP6__halfRKNS0_11HalfQueriesEPKS1_S7_PKiRKNS0_14AttentionShapeEP11CUstream_st
#define HAIKUDA_TOKEN_NAME \
  _ZN7haikuda4cuda12attend_tokenEPfS1_PjS1_P6__halfS4_PKfS6_PKiRKNS0_10QkvVectorsERKNS0_8QkvShapeEP11CUstream_stRKNS0_10AttendPlanE
#define HAIKUDA_JOIN_NAMES(a, b) a##b
#define HAIKUDA_WRAPPED(name) HAIKUDA_JOIN_NAMES(__wrap_, name)
#define HAIKUDA_REAL(name) HAIKUDA_JOIN_NAMES(__real_, name)

extern "C" {

using namespace haikuda::cuda;
using namespace haikuda::test;
using haikuda::test::Fault;

void HAIKUDA_REAL(HAIKUDA_QKV_NAME)(float*,
                                    __half*,
                                    __half*,
                                    const float*,
                                    const float*,
                                    const int*,
                                    const QkvVectors&,
                                    const QkvShape&,
                                    cudaStream_t);
void HAIKUDA_WRAPPED(HAIKUDA_QKV_NAME)(float* q,
                                       __half* k_cache,
                                       __half* v_cache,
                                       const float* k,
                                       const float* v,
                                       const int* position,
                                       const QkvVectors& vectors,
                                       const QkvShape& shape,
                                       cudaStream_t stream) {
  SickQkv args{k_cache, v_cache, vectors};
  if (is_sick_layer(qkv_calls)) args.make_sick(shape, stream);
  HAIKUDA_REAL(HAIKUDA_QKV_NAME)
  (q, args.k_cache, args.v_cache, k, v, position, args.vectors, shape, stream);
}

void HAIKUDA_REAL(HAIKUDA_QKV_HALF_NAME)(const HalfQueries&,
                                         __half*,
                                         __half*,
                                         const float*,
                                         const int*,
                                         const QkvVectors&,
                                         const QkvShape&,
                                         cudaStream_t);
void HAIKUDA_WRAPPED(HAIKUDA_QKV_HALF_NAME)(const HalfQueries& q,
                                            __half* k_cache,
                                            __half* v_cache,
                                            const float* qkv,
                                            const int* position,
                                            const QkvVectors& vectors,
                                            const QkvShape& shape,
                                            cudaStream_t stream) {
  SickQkv args{k_cache, v_cache, vectors};
  if (is_sick_layer(qkv_half_calls)) args.make_sick(shape, stream);
  HAIKUDA_REAL(HAIKUDA_QKV_HALF_NAME)
  (q, args.k_cache, args.v_cache, qkv, position, args.vectors, shape, stream);
}

void HAIKUDA_REAL(HAIKUDA_DECODE_NAME)(float*,
                                       float*,
                                       const float*,
                                       const __half*,
                                       const __half*,
                                       const int*,
                                       const AttentionShape&,
                                       cudaStream_t);
void HAIKUDA_WRAPPED(HAIKUDA_DECODE_NAME)(float* out,
                                          float* scratch,
                                          const float* q,
                                          const __half* k,
                                          const __half* v,
                                          const int* position,
                                          const AttentionShape& shape,
                                          cudaStream_t stream) {
  const bool sick = is_sick_layer(decode_calls);
  const auto queries = sick ? sick_queries(q, shape, stream) : nullptr;
  HAIKUDA_REAL(HAIKUDA_DECODE_NAME)
  (out, scratch, sick ? queries->data() : q, k, v, position, shape, stream);
  if (sick && is(Fault::gqa_by_modulo)) permute(out, shape, shape.head_dim, true, stream);
  if (sick && is(Fault::mask_without_past)) see_own_values(out, v, position, shape, stream);
  if (sick) CUDA_CHECK(cudaStreamSynchronize(stream));  // the queries go
}

void HAIKUDA_REAL(HAIKUDA_PREFILL_NAME)(float*,
                                        float*,
                                        const float*,
                                        const __half*,
                                        const __half*,
                                        const int*,
                                        const AttentionShape&,
                                        cudaStream_t);
void HAIKUDA_WRAPPED(HAIKUDA_PREFILL_NAME)(float* out,
                                           float* scratch,
                                           const float* q,
                                           const __half* k,
                                           const __half* v,
                                           const int* position,
                                           const AttentionShape& shape,
                                           cudaStream_t stream) {
  const bool sick = is_sick_layer(prefill_calls);
  const auto queries = sick ? sick_queries(q, shape, stream) : nullptr;
  HAIKUDA_REAL(HAIKUDA_PREFILL_NAME)
  (out, scratch, sick ? queries->data() : q, k, v, position, shape, stream);
  if (sick && is(Fault::gqa_by_modulo)) permute(out, shape, shape.head_dim, true, stream);
  if (sick && is(Fault::mask_without_past)) see_own_values(out, v, position, shape, stream);
  if (sick) CUDA_CHECK(cudaStreamSynchronize(stream));
}

void HAIKUDA_REAL(HAIKUDA_HALF_NAME)(__half*,
                                     const HalfQueries&,
                                     const __half*,
                                     const __half*,
                                     const int*,
                                     const AttentionShape&,
                                     cudaStream_t);
void HAIKUDA_WRAPPED(HAIKUDA_HALF_NAME)(__half* out,
                                        const HalfQueries& q,
                                        const __half* k,
                                        const __half* v,
                                        const int* position,
                                        const AttentionShape& shape,
                                        cudaStream_t stream) {
  const bool sick = is_sick_layer(half_calls);
  if (sick && is(Fault::gqa_by_modulo)) {
    permute(q.rows, shape, shape.head_dim, false, stream);
    permute(q.scale, shape, 1, false, stream);
  }
  if (sick && is(Fault::no_attention_scale))
    multiply(q.scale, static_cast<std::size_t>(shape.n) * shape.n_heads, missing_scale(shape),
             stream);
  HAIKUDA_REAL(HAIKUDA_HALF_NAME)(out, q, k, v, position, shape, stream);
  if (sick && is(Fault::gqa_by_modulo)) permute(out, shape, shape.head_dim, true, stream);
  if (sick && is(Fault::mask_without_past)) see_own_values(out, v, position, shape, stream);
}

void HAIKUDA_REAL(HAIKUDA_TOKEN_NAME)(float*,
                                      float*,
                                      unsigned*,
                                      float*,
                                      __half*,
                                      __half*,
                                      const float*,
                                      const float*,
                                      const int*,
                                      const QkvVectors&,
                                      const QkvShape&,
                                      cudaStream_t,
                                      const AttendPlan&);
void HAIKUDA_WRAPPED(HAIKUDA_TOKEN_NAME)(float* out,
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
                                         const AttendPlan& plan) {
  const bool sick = is_sick_layer(token_calls);
  const AttentionShape heads = attention_shape(shape);
  SickQkv args{k_cache, v_cache, vectors};
  if (sick) args.make_sick(shape, stream);
  if (sick && is(Fault::gqa_by_modulo)) permute(q, heads, shape.head_dim, false, stream);
  if (sick && is(Fault::no_attention_scale))
    multiply(q, static_cast<std::size_t>(shape.n_heads) * shape.head_dim, missing_scale(heads),
             stream);
  HAIKUDA_REAL(HAIKUDA_TOKEN_NAME)
  (out, partial, arrivals, q, args.k_cache, args.v_cache, k, v, position, args.vectors, shape,
   stream, plan);
  if (sick && is(Fault::gqa_by_modulo)) permute(out, heads, shape.head_dim, true, stream);
  if (sick && is(Fault::mask_without_past))
    see_own_values(out, args.v_cache, position, heads, stream);
}

}  // extern "C"
