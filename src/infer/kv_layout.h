// Sizes of the KV cache of one sequence. Storage belongs to the backends.
#pragma once

#include <cstddef>

#include "model/config.h"

namespace haikuda {

// Each layer has K and V of shape (n_ctx, n_kv_heads, head_dim), row-major, contiguous.
struct KvLayout {
  std::size_t n_layers, n_ctx, kv_size;

  KvLayout(const ModelConfig& c, int n_ctx_wanted)
      : n_layers(static_cast<std::size_t>(c.n_layers)),
        n_ctx(static_cast<std::size_t>(n_ctx_wanted)),
        kv_size(static_cast<std::size_t>(c.kv_size())) {}

  std::size_t layer_elems() const { return n_ctx * kv_size; }  // of K, and again of V
  std::size_t total_elems() const { return 2 * n_layers * layer_elems(); }
  std::size_t k_offset(std::size_t layer) const { return 2 * layer * layer_elems(); }
  std::size_t v_offset(std::size_t layer) const { return (2 * layer + 1) * layer_elems(); }
};

}  // namespace haikuda
