// Why no activation that prefill keeps in half overflows, whatever the prompt: each is stored times
// a power of two that a bound, computed from the weights, puts into half's range.
//   attn_norm, ffn_norm  |x / rms(x)| has length sqrt(n_embd), so |norm| <= sqrt(n_embd) ·
//   max|gamma|. gate, up             row w of the matrix times the norm: by Cauchy and Schwarz at
//   most
//                        sqrt(n_embd) · |w · gamma|, the length of the row times gamma.
//   act                  |silu(gate) · up| <= |gate| · |up|. Where that bound is so far above what
//                        occurs that small values could lose bits, rows are scaled by their own
//                        greatest value instead, which is found when it is there.
//   q                    by the greatest of the head, found when it is there.
//   attention's output   a mean of V, which is half: no scale.
// The bounds are met from below: values 2^-29 of a bound still have all bits of half, and those
// below are off by at most 2^-41 of it.
#pragma once

#include <cuda_runtime_api.h>

#include <vector>

#include "cuda/device_weights.h"
#include "model/model.h"

namespace haikuda::cuda {

// What the stored values of a layer are times the true ones, powers of two.
struct LayerHalfScales {
  float attn_norm, ffn_norm, gate_up;
  float act;  // 0: row by row
};

// Reads gate and up of all layers; waits for the stream.
std::vector<LayerHalfScales> half_scales(const Model& model,
                                         const DeviceWeights& weights,
                                         cudaStream_t stream);

// The greatest power of two p with bound · p inside half's range; 1 for a bound that is 0 or not
// finite.
float scale_to_half(double bound);

}  // namespace haikuda::cuda
