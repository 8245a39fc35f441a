// The input of a matrix-vector product in shared memory, once a block. It lies in vectors of 16
// bytes, permuted such that the lanes of a warp, which take neighbouring units of a row of weights,
// read neighbouring vectors: no bank is asked twice. F32 for plain weights, integers for quantized.
#pragma once

#include <cstdint>

#include "cuda/device/async.cuh"
#include "cuda/device/int8.cuh"
#include "cuda/device/planes.h"

namespace haikuda::cuda {

// Where the vectors of x lie: 4 floats, or 16 integers of one plane. A unit of weights takes one
// vector, or two, which lie 32 vectors apart. kPer16: the products need the scale and the sum of
// each vector of 16; otherwise those of each block of 32.
enum class XOrder {
  natural,  // one vector a unit, in order
  pairs,    // unit u takes vectors 2u and 2u + 1
  k4,       // of a block of 256: unit 2c + h takes vectors 4c + h and 4c + h + 2
  k6,       // of a block of 256: unit 4n + r takes vectors 8n + r and 8n + r + 4
};

// The place of half 0 of unit `lane` of a chunk of 32; half 1 is 32 further.
__device__ constexpr int paired_slot(int chunk, int lane) {
  return chunk * 64 + lane;
}
// The place of half 0 or 1 of a unit.
__device__ constexpr int paired_slot_of(int unit, int half) {
  return paired_slot(unit / 32, unit % 32) + half * 32;
}
// The place of vector v.
template <XOrder kOrder>
__device__ constexpr int x_slot(int v) {
  if constexpr (kOrder == XOrder::natural) return v;
  if constexpr (kOrder == XOrder::pairs) return paired_slot_of(v / 2, v % 2);
  if constexpr (kOrder == XOrder::k4)
    return paired_slot_of(v / 16 * 8 + v % 16 / 4 * 2 + v % 2, v % 4 / 2);
  if constexpr (kOrder == XOrder::k6) return paired_slot_of(v / 8 * 4 + v % 4, v % 8 / 4);
}
// Places for n vectors: pairs come in groups of 32 units.
__host__ __device__ constexpr int n_x_slots(XOrder order, int n_vectors) {
  return order == XOrder::natural ? n_vectors : (n_vectors + 63) / 64 * 64;
}

// {scale, scale · sum of q} of a vector of 16 or of a block of 32.
using XScale = float2;

struct StagedX {
  uint4* vectors;  // (planes, n_slots)
  XScale* scales;  // integers only: by slot, or by block of 32
  int n_slots;     // n_x_slots

  __device__ IntVector integers(int slot) const {
    IntVector out;
#pragma unroll
    for (int p = 0; p < kActivationPlanes; ++p) out.plane[p] = vectors[p * n_slots + slot];
    return out;
  }
};

// What a block multiplies: x (cols), times gamma (cols) where that is not null. A source says where
// x comes from: ask(v) begins to load its vector v of 4 elements, receive() ends it.
struct XSource {
  // Vectors of a thread that are asked for before the first is used, or each would cost the latency
  // of the L2 cache.
  static constexpr int kLoadsAhead = 2;
  static constexpr bool kMayHaveGamma = true;
  using Asked = float4;

  const float* x;
  const float* gamma;
  int cols;

  static __device__ int n_threads() { return static_cast<int>(blockDim.x); }
  __device__ Asked ask(int v) const { return load_activations(x + 4 * v); }
  __device__ float4 receive(const Asked& asked, int) const { return asked; }
};

__device__ inline float4 times(const float4& a, const float4& b) {
  return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}
__device__ inline float sum_of_squares(const float4& v) {
  return v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
}

// A thread takes the vectors threadIdx.x + j · n_threads() of x. Of gamma, which depends on
// nothing, the first is on its way before x is waited for.
struct GammaAhead {
  float4 first;

  __device__ GammaAhead(const float* gamma, int cols) {
    const int v = threadIdx.x;
    const bool is_there = gamma != nullptr && v < cols / 4;
    first = is_there ? reinterpret_cast<const float4*>(gamma)[v] : make_float4(1, 1, 1, 1);
  }
};

// Calls take(v, x · gamma) for each vector v of the thread, and returns the sum of squares of x.
// With kWholeWarps all lanes of a warp take part, those beyond the end with zeros. cols is a
// multiple of 4.
template <bool kWholeWarps, class Source, class Take>
__device__ float for_each_vector(const Source& in, const GammaAhead& ahead, const Take& take) {
  constexpr int kLoadsAhead = Source::kLoadsAhead;
  const int n = in.cols / 4, step = in.n_threads(), thread = threadIdx.x;
  const auto* gamma = reinterpret_cast<const float4*>(in.gamma);  // null where there is none
  const int lane = kWholeWarps ? thread % kWarpSize : 0;
  float squares = 0;
#pragma unroll 1  // instructions are fetched cold: small code is fast code
  for (int first = thread; first - lane < n; first += kLoadsAhead * step) {
    typename Source::Asked asked[kLoadsAhead];
    float4 g[kLoadsAhead];
    if constexpr (Source::kMayHaveGamma) {
#pragma unroll
      for (int j = 0; j < kLoadsAhead; ++j) {
        const int v = first + j * step;
        if (j == 0 && first == thread)
          g[j] = ahead.first;
        else
          g[j] = gamma != nullptr && v < n ? gamma[v] : make_float4(1, 1, 1, 1);
      }
    }
#pragma unroll
    for (int j = 0; j < kLoadsAhead; ++j)
      if (first + j * step < n) asked[j] = in.ask(first + j * step);
#pragma unroll
    for (int j = 0; j < kLoadsAhead; ++j) {
      const int v = first + j * step;
      if (v - lane >= n) break;
      const float4 x = v < n ? in.receive(asked[j], v) : make_float4(0, 0, 0, 0);
      squares += sum_of_squares(x);
      take(v, Source::kMayHaveGamma ? times(x, g[j]) : x);
    }
  }
  return squares;
}

// All threads of the block put x in its place and get their share of the sum of its squares. The
// block needs a barrier before x is used.
template <XOrder kOrder, class Source>
__device__ float stage_f32(const StagedX& out, const Source& in, const GammaAhead& ahead) {
  return for_each_vector<false>(in, ahead, [&](int v, const float4& x) {
    reinterpret_cast<float4*>(out.vectors)[x_slot<kOrder>(v)] = x;
  });
}

// The same as integers, cols a multiple of 32: eight lanes take a block.
template <XOrder kOrder, bool kScalesPer16>
__device__ float stage_integers(const StagedX& out, const XSource& in, const GammaAhead& ahead) {
  return for_each_vector<true>(in, ahead, [&](int i, const float4& x) {
    const std::uint32_t greatest = group_max<8>(max(max(magnitude_bits(x.x), magnitude_bits(x.y)),
                                                    max(magnitude_bits(x.z), magnitude_bits(x.w))));
    const IntegerScale d = integer_scale(greatest);
    const int q[4] = {to_integer(x.x, d.inverse), to_integer(x.y, d.inverse),
                      to_integer(x.z, d.inverse), to_integer(x.w, d.inverse)};
    const int sum = group_sum < kScalesPer16 ? 4 : 8 > (q[0] + q[1] + q[2] + q[3]);
    if (i >= in.cols / 4) return;
    const int slot = x_slot<kOrder>(i / 4);
#pragma unroll
    for (int p = 0; p < kActivationPlanes; ++p)
      reinterpret_cast<std::uint32_t*>(out.vectors + p * out.n_slots)[4 * slot + i % 4] =
          plane_byte(q[0], p) | plane_byte(q[1], p) << 8 | plane_byte(q[2], p) << 16 |
          plane_byte(q[3], p) << 24;
    const XScale scale = make_float2(d.scale, d.scale * static_cast<float>(sum));
    if (kScalesPer16 && i % 4 == 0) out.scales[slot] = scale;
    if (!kScalesPer16 && i % 8 == 0) out.scales[i / 8] = scale;
  });
}

// The same of activations that are integers already.
template <XOrder kOrder, bool kScalesPer16>
__device__ void stage_quantized(const StagedX& out,
                                const std::int8_t* quants,
                                const ActivationBlock* blocks,
                                int cols) {
  constexpr int kLoadsAhead = XSource::kLoadsAhead;
  const int n = cols / 16, step = blockDim.x;
  for (int first = threadIdx.x; first < n; first += kLoadsAhead * step) {
    uint4 of_plane[kLoadsAhead][kActivationPlanes];
    float scale[kLoadsAhead], sum[kLoadsAhead];
#pragma unroll
    for (int j = 0; j < kLoadsAhead; ++j) {
      const int v = min(first + j * step, n - 1);
#pragma unroll
      for (int p = 0; p < kActivationPlanes; ++p)
        of_plane[j][p] = __ldcg(
            reinterpret_cast<const uint4*>(quants + static_cast<std::int64_t>(p) * cols) + v);
      const auto* block = reinterpret_cast<const float*>(blocks + v / 2);
      scale[j] = load_activation(block);
      sum[j] = load_activation(block + 1 + v % 2);
      if (!kScalesPer16) sum[j] += load_activation(block + 2 - v % 2);
    }
#pragma unroll
    for (int j = 0; j < kLoadsAhead; ++j) {
      const int v = first + j * step;
      if (v >= n) break;
      const int slot = x_slot<kOrder>(v);
#pragma unroll
      for (int p = 0; p < kActivationPlanes; ++p)
        out.vectors[p * out.n_slots + slot] = of_plane[j][p];
      if (kScalesPer16 || v % 2 == 0)
        out.scales[kScalesPer16 ? slot : v / 2] = make_float2(scale[j], sum[j]);
    }
  }
}

}  // namespace haikuda::cuda
