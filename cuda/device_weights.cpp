#include "cuda/device_weights.h"

#include <limits>

#include "cuda/layout.h"

namespace haikuda::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t aligned(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

// Adds up what the tensors take.
class Counter {
 public:
  const std::byte* matrix(const TensorView& view) {
    return add(matrix_bytes(view.dtype, view.rows, view.cols));
  }
  const float* vector(const TensorView& view) {
    add(static_cast<std::size_t>(view.size()) * sizeof(float));
    return nullptr;
  }
  std::size_t bytes() const { return bytes_; }

 private:
  const std::byte* add(std::size_t bytes) {
    bytes_ += aligned(bytes);
    return nullptr;
  }
  std::size_t bytes_ = 0;
};

// Lists what goes where.
class Lister {
 public:
  explicit Lister(std::byte* storage) : next_(storage) {}

  const std::byte* matrix(const TensorView& view) {
    return add(view, matrix_bytes(view.dtype, view.rows, view.cols),
               is_repacked(view.dtype) ? UploadForm::planes : UploadForm::as_in_file);
  }
  const float* vector(const TensorView& view) {
    const auto bytes = static_cast<std::size_t>(view.size()) * sizeof(float);
    return reinterpret_cast<const float*>(add(view, bytes, UploadForm::floats));
  }
  std::vector<UploadTensor> take() { return std::move(tensors_); }

 private:
  const std::byte* add(const TensorView& view, std::size_t bytes, UploadForm form) {
    std::byte* to = next_;
    tensors_.push_back({view, to, form});
    next_ += aligned(bytes);
    return to;
  }

  std::vector<UploadTensor> tensors_;
  std::byte* next_;
};

template <class Placer>
DeviceTensor place_matrix(Placer& placer, const TensorView& view) {
  constexpr std::int64_t kMost = std::numeric_limits<int>::max();
  HAIKUDA_CHECK(view.rows <= kMost && view.cols <= kMost);
  return {view.dtype, static_cast<int>(view.rows), static_cast<int>(view.cols),
          placer.matrix(view)};
}
template <class Placer>
const float* place_vector(Placer& placer, const TensorView& view) {
  return view ? placer.vector(view) : nullptr;
}

template <class Placer>
DeviceLayerWeights place_layer(Placer& placer, const LayerWeights& w) {
  return {
      .attn_norm = place_vector(placer, w.attn_norm),
      .attn_q = place_matrix(placer, w.attn_q),
      .attn_k = place_matrix(placer, w.attn_k),
      .attn_v = place_matrix(placer, w.attn_v),
      .attn_q_bias = place_vector(placer, w.attn_q_bias),
      .attn_k_bias = place_vector(placer, w.attn_k_bias),
      .attn_v_bias = place_vector(placer, w.attn_v_bias),
      .attn_q_norm = place_vector(placer, w.attn_q_norm),
      .attn_k_norm = place_vector(placer, w.attn_k_norm),
      .attn_output = place_matrix(placer, w.attn_output),
      .ffn_norm = place_vector(placer, w.ffn_norm),
      .ffn_gate = place_matrix(placer, w.ffn_gate),
      .ffn_up = place_matrix(placer, w.ffn_up),
      .ffn_down = place_matrix(placer, w.ffn_down),
  };
}

}  // namespace

// The one list of tensors, for counting and for copying.
template <class Placer>
void DeviceWeights::place(const Weights& weights, Placer& placer) {
  layers.clear();
  token_embd = place_matrix(placer, weights.token_embd);
  output = weights.tied ? token_embd : place_matrix(placer, weights.output);
  output_norm = place_vector(placer, weights.output_norm);
  for (const LayerWeights& w : weights.layers) layers.push_back(place_layer(placer, w));
}

std::size_t DeviceWeights::bytes_needed(const Weights& weights) {
  Counter counter;
  DeviceWeights().place(weights, counter);
  return counter.bytes();
}

DeviceWeights::DeviceWeights(const Model& model, Timeline* timeline)
    : storage_(bytes_needed(model.weights)) {
  Lister lister(storage_.data());
  place(model.weights, lister);
  upload_ = std::make_unique<Upload>(lister.take(), model.files, timeline);
}

}  // namespace haikuda::cuda
