#include "cpu/kv_cache.h"

#include <cstdlib>

#include <fmt/format.h>

#include "base/error.h"

namespace haikuda::cpu {

void KvCache::Free::operator()(float* p) const {
  std::free(p);
}

KvCache::KvCache(const ModelConfig& config, int n_ctx)
    : layout_(config, n_ctx),
      data_(static_cast<float*>(std::calloc(layout_.total_elems(), sizeof(float)))) {
  if (!data_)
    throw Error(
        ExitCode::out_of_memory,
        fmt::format(
            "the KV cache of {} positions needs {:.1f} MiB of host memory, which is not available; "
            "try a smaller -c",
            n_ctx, static_cast<double>(bytes()) / (1 << 20)));
}

}  // namespace haikuda::cpu
