#include "cpu/cpu_backend.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "cpu/forward.h"
#include "cpu/host_memory.h"
#include "cpu/ops.h"

namespace haikuda {
namespace {

class CpuBackend : public Backend {
 public:
  CpuBackend(const Model& model, const BackendOptions& options)
      : n_vocab_(model.config.n_vocab),
        n_ctx_(options.n_ctx),
        chunk_(std::min(options.chunk > 0 ? options.chunk : kCpuChunk, options.n_ctx)),
        forward_(model, n_ctx_, chunk_, options.n_threads, options.half_cache) {}

  void append(std::span<const int> tokens) override {
    const int n = static_cast<int>(tokens.size());
    HAIKUDA_CHECK(n > 0 && n <= n_ctx_ - position_);
    HAIKUDA_CHECK(std::all_of(tokens.begin(), tokens.end(),
                              [&](int id) { return id >= 0 && id < n_vocab_; }));
    for (int done = 0; done < n; done += chunk_) {
      const int m = std::min(chunk_, n - done);
      forward_.run(tokens.subspan(static_cast<std::size_t>(done), static_cast<std::size_t>(m)),
                   position_, done + m == n);
      position_ += m;
    }
  }
  std::span<const float> logits() override { return forward_.logits(); }
  int argmax() override {
    check_finite_logits(forward_.logits(), position_);
    return cpu::argmax(forward_.logits());
  }
  int position() const override { return position_; }
  int n_ctx() const override { return n_ctx_; }
  void truncate(int n_tokens) override {
    HAIKUDA_CHECK(n_tokens >= 0 && n_tokens <= position_);
    position_ = n_tokens;
  }
  void set_probe(Probe* probe) override {
    Backend::set_probe(probe);
    forward_.set_probe(probe);
  }
  CachedKv cached_kv(int layer) override { return forward_.cached_kv(layer, position_); }
  std::string device_name() const override {
    return fmt::format("CPU, {} thread{}", forward_.n_threads(),
                       forward_.n_threads() == 1 ? "" : "s");
  }
  std::size_t device_bytes() const override { return forward_.bytes(); }

 private:
  int n_vocab_, n_ctx_, chunk_;
  int position_ = 0;
  cpu::Forward forward_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const Model& model, const BackendOptions& options) {
  return std::make_unique<CpuBackend>(model, options);
}

int max_cpu_context(const Model& model) {
  const std::size_t bytes_per_position = KvLayout(model.config, 1).total_elems() * sizeof(float);
  const std::size_t fits = cpu::available_memory() / 2 / bytes_per_position;
  return static_cast<int>(std::min<std::size_t>(fits, std::numeric_limits<int>::max()));
}

}  // namespace haikuda
