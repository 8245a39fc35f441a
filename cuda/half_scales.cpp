#include "cuda/half_scales.h"

#include <algorithm>
#include <cmath>

#include "cuda/download.h"
#include "cuda/ops.h"

namespace haikuda::cuda {
namespace {

// Half's greatest number is 65504. What is left covers the rounding of half inputs and of sums.
constexpr double kGreatest = 65000;
// |gate| · |up| above which act is scaled row by row: below, values are off by at most 2^-17.
constexpr double kTightProduct = 0x1p24;
constexpr int kMostExponent = 60;

double greatest_magnitude(const TensorView& vector) {
  double out = 0;
  for (const float x : to_float(vector)) out = std::max(out, std::abs(static_cast<double>(x)));
  return out;
}

}  // namespace

float scale_to_half(double bound) {
  if (!(bound > 0) || !std::isfinite(bound)) return 1;
  const int exponent = static_cast<int>(std::floor(std::log2(kGreatest / bound)));
  return std::ldexp(1.0f, std::clamp(exponent, -kMostExponent, kMostExponent));
}

std::vector<LayerHalfScales> half_scales(const Model& model,
                                         const DeviceWeights& weights,
                                         cudaStream_t stream) {
  const std::size_t n_layers = weights.layers.size();
  const DeviceBuffer<float> norms(2 * n_layers);  // of gate's and up's longest row, a layer
  norms.clear(stream);
  for (std::size_t i = 0; i < n_layers; ++i) {
    const DeviceLayerWeights& w = weights.layers[i];
    greatest_row_norm(norms.data() + 2 * i, w.ffn_gate, w.ffn_norm, stream);
    greatest_row_norm(norms.data() + 2 * i + 1, w.ffn_up, w.ffn_norm, stream);
  }
  const std::vector<float> longest = download(norms.data(), norms.size(), stream);
  const double length = std::sqrt(static_cast<double>(model.config.n_embd));
  std::vector<LayerHalfScales> out;
  for (std::size_t i = 0; i < n_layers; ++i) {
    const LayerWeights& w = model.weights.layers[i];
    const double gate = length * static_cast<double>(longest[2 * i]),
                 up = length * static_cast<double>(longest[2 * i + 1]);
    out.push_back({.attn_norm = scale_to_half(length * greatest_magnitude(w.attn_norm)),
                   .ffn_norm = scale_to_half(length * greatest_magnitude(w.ffn_norm)),
                   .gate_up = scale_to_half(std::max(gate, up)),
                   .act = gate * up <= kTightProduct ? scale_to_half(gate * up) : 0.0f});
  }
  return out;
}

}  // namespace haikuda::cuda
