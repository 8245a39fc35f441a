// F32 storage of keys and values on the host.
#pragma once

#include <cstddef>
#include <memory>

#include "infer/kv_layout.h"

namespace haikuda::cpu {

class KvCache {
 public:
  // Throws Error(out_of_memory). Pages are taken from the system when they are first written.
  KvCache(const ModelConfig& config, int n_ctx);

  float* k(int layer) {
    return data_.get() + layout_.k_offset(static_cast<std::size_t>(layer));
  }  // (n_ctx, kv_size)
  float* v(int layer) { return data_.get() + layout_.v_offset(static_cast<std::size_t>(layer)); }
  std::size_t bytes() const { return layout_.total_elems() * sizeof(float); }

 private:
  struct Free {
    void operator()(float* p) const;
  };
  KvLayout layout_;
  std::unique_ptr<float[], Free> data_;
};

}  // namespace haikuda::cpu
