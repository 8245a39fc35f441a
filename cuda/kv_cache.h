// F16 storage of keys and values on the device.
#pragma once

#include <cuda_fp16.h>

#include "cuda/resources.h"
#include "infer/kv_layout.h"

namespace haikuda::cuda {

class KvCache {
 public:
  KvCache(const ModelConfig& config, int n_ctx)
      : layout_(config, n_ctx), data_(layout_.total_elems()) {}

  // (n_ctx, n_kv_heads, head_dim)
  __half* k(int layer) const {
    return data_.data() + layout_.k_offset(static_cast<std::size_t>(layer));
  }
  __half* v(int layer) const {
    return data_.data() + layout_.v_offset(static_cast<std::size_t>(layer));
  }
  std::size_t bytes() const { return data_.bytes(); }
  static std::size_t bytes_needed(const ModelConfig& config, int n_ctx) {
    return KvLayout(config, n_ctx).total_elems() * sizeof(__half);
  }

 private:
  KvLayout layout_;
  DeviceBuffer<__half> data_;
};

}  // namespace haikuda::cuda
