#include "cuda/cuda_backend.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <fmt/format.h>

#include "cuda/check.h"
#include "cuda/device_weights.h"
#include "cuda/devices.h"
#include "cuda/forward.h"
#include "cuda/ops.h"
#include "cuda/resources.h"
#include "cuda/sampling_loop.h"

namespace haikuda {
namespace {

using namespace cuda;

// Left free beside what is allocated here: code of kernels and of cuBLAS, loaded as it is needed.
constexpr std::size_t kReservedBytes = std::size_t{256} << 20;

bool has_bfloat16(const CudaDevice& device) {
  return device.compute_major >= 8;
}

ForwardSizes forward_sizes(const Model& model,
                           const BackendOptions& options,
                           const CudaDevice& device) {
  HAIKUDA_CHECK(options.n_ctx >= 1 && options.chunk >= 0);
  const int best = Forward::best_chunk(model, has_bfloat16(device));
  return {.n_ctx = options.n_ctx,
          .chunk = std::min(options.chunk > 0 ? options.chunk : best, options.n_ctx),
          .has_bfloat16 = has_bfloat16(device)};
}

double mebibytes(std::size_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

// Beside weights and what Forward takes: for sampling, and the logits that texts begin with.
std::size_t sampling_bytes(const Model& model) {
  const int n_vocab = model.config.n_vocab;
  return SamplingLoop::bytes_needed(n_vocab) + static_cast<std::size_t>(n_vocab) * sizeof(float);
}

// Throws the error that says what does not fit, before anything is allocated.
void check_memory(const Model& model, const ForwardSizes& sizes, const CudaDevice& device) {
  const std::size_t weights = DeviceWeights::bytes_needed(model.weights);
  const std::size_t cache = KvCache::bytes_needed(model.config, sizes.n_ctx);
  const std::size_t scratch = Forward::bytes_needed(model, sizes) - cache + sampling_bytes(model);
  if (weights + cache + scratch <= device.free_bytes) return;
  throw Error(ExitCode::out_of_memory,
              fmt::format("the model needs {:.0f} MiB on the GPU (weights {:.0f}, KV cache of {} "
                          "positions {:.0f}, scratch "
                          "{:.0f}), of {:.0f} MiB there {:.0f} are free; try a smaller context "
                          "(-c) or --device cpu",
                          mebibytes(weights + cache + scratch), mebibytes(weights), sizes.n_ctx,
                          mebibytes(cache), mebibytes(scratch), mebibytes(device.total_bytes),
                          mebibytes(device.free_bytes)));
}

// Used by one thread at a time, the one that created it: the device is a property of the thread.
class CudaBackend : public Backend {
 public:
  // While the weights are on their way, the rest is made.
  CudaBackend(const Model& model, const BackendOptions& options, const CudaDevice& device)
      : n_vocab_(model.config.n_vocab),
        index_(options.device_index),
        name_(device.name),
        sizes_(forward_sizes(model, options, device)),
        weights_(model, options.timeline),
        forward_(model, weights_, sizes_, stream_),
        loop_(forward_, n_vocab_, sizes_.n_ctx, stream_),
        kept_logits_(static_cast<std::size_t>(n_vocab_)),
        bytes_(weights_.bytes() + Forward::bytes_needed(model, sizes_) + sampling_bytes(model)),
        staged_tokens_(static_cast<std::size_t>(sizes_.n_ctx)),
        host_logits_(static_cast<std::size_t>(n_vocab_)) {
    make_ready(options);
    weights_.wait();
  }

  void append(std::span<const int> tokens) override {
    const int n = static_cast<int>(tokens.size());
    HAIKUDA_CHECK(n > 0 && n <= sizes_.n_ctx - position_);
    HAIKUDA_CHECK(std::all_of(tokens.begin(), tokens.end(),
                              [&](int id) { return id >= 0 && id < n_vocab_; }));
    HAIKUDA_CHECK(!is_sampling_);
    if (position_ < kept_position_) kept_position_ = -1;
    have_logits_ = false;
    upload_tokens(tokens);
    for (int done = 0; done < n; done += sizes_.chunk) {
      const int m = std::min(sizes_.chunk, n - done);
      forward_.run(position_, m, done + m == n);
      position_ += m;
    }
    logits_position_ = position_;
  }

  std::span<const float> logits() override {
    if (!have_logits_) {
      current_logits().download(host_logits_.span(), stream_.get());
      stream_.synchronize();
    }
    have_logits_ = true;
    return host_logits_.span();
  }

  int argmax() override {
    if (logits_position_ == position_) {
      forward_.best().download(host_best_.span(), stream_.get());
    } else {  // of the logits that were kept
      cuda::argmax(best_.data(), best_partial_.data(), current_logits().data(), n_vocab_,
                   stream_.get());
      best_.download(host_best_.span(), stream_.get());
    }
    stream_.synchronize();
    const ArgmaxResult& best = *host_best_.data();
    if (best.n_not_finite > 0) check_finite_logits(logits(), position_);
    return best.index;
  }

  int position() const override { return position_; }
  int n_ctx() const override { return sizes_.n_ctx; }
  void truncate(int n_tokens) override {
    HAIKUDA_CHECK(!is_sampling_ && n_tokens >= 0 && n_tokens <= position_);
    position_ = n_tokens;
    have_logits_ = false;
  }
  void set_probe(Probe* probe) override {
    Backend::set_probe(probe);
    forward_.set_probe(probe);
  }
  CachedKv cached_kv(int layer) override { return forward_.cached_kv(layer, position_); }

  bool can_sample(const SamplerOptions& options) const override {
    if (probe() != nullptr) return false;  // who looks inside sees every token's pass
    const std::optional<CommonChain> chain = common_chain(options, n_vocab_);
    return chain && chain->top_k <= kMostTopK;
  }
  void start_sampling(const SamplerOptions& options,
                      std::span<const int> history,
                      int n_most) override {
    HAIKUDA_CHECK(can_sample(options) && position_ >= 1);
    HAIKUDA_CHECK(history.size() == static_cast<std::size_t>(position_));
    keep_logits();
    start_ = position_;
    n_sampled_ = 0;
    is_sampling_ = true;
    loop_.start(*common_chain(options, n_vocab_), options.logit_bias, start_, n_most);
  }
  int next_token() override {
    HAIKUDA_CHECK(is_sampling_);
    const int token = loop_.next();
    position_ = start_ + n_sampled_++;
    return token;
  }
  void stop_sampling() override { is_sampling_ = false; }
  std::string device_name() const override {
    return fmt::format("CUDA {}, {}{}", index_, name_,
                       forward_.found_cublas() ? "" : " (slow prompts: no cuBLAS found)");
  }
  std::size_t device_bytes() const override { return bytes_; }

 private:
  // Kernels are loaded and graphs captured when they are first needed: this needs them.
  void make_ready(const BackendOptions& options) {
    const Phase phase(options.timeline, "kernels");
    loop_.prepare(options.first.greedy);
    if (options.first.n_prompt > 0)
      forward_.prepare(std::min(options.first.n_prompt, sizes_.chunk));
  }
  // Those after position_ tokens.
  const DeviceBuffer<float>& current_logits() const {
    HAIKUDA_CHECK(!is_sampling_ && (logits_position_ == position_ || kept_position_ == position_));
    return logits_position_ == position_ ? forward_.logits() : kept_logits_;
  }
  // Puts the current logits where the loop begins with them, and a copy where they stay.
  void keep_logits() {
    const DeviceBuffer<float>& from = current_logits();
    const DeviceBuffer<float>& to = &from == &kept_logits_ ? forward_.logits() : kept_logits_;
    CUDA_CHECK(cudaMemcpyAsync(to.data(), from.data(), from.bytes(), cudaMemcpyDeviceToDevice,
                               stream_.get()));
    kept_position_ = position_;
    logits_position_ = -1;  // the loop will overwrite them
    have_logits_ = false;
  }
  // The staged ids are overwritten only when their last copy has left the host.
  void upload_tokens(std::span<const int> tokens) {
    const auto at = static_cast<std::size_t>(position_);
    const std::span<int> staged = staged_tokens_.span().subspan(at, tokens.size());
    tokens_copied_.synchronize();
    std::copy(tokens.begin(), tokens.end(), staged.begin());
    forward_.tokens().upload(staged, stream_.get(), at);
    tokens_copied_.record(stream_.get());
  }

  int n_vocab_, index_;
  std::string name_;
  ForwardSizes sizes_;
  Stream stream_ = Stream::create();  // before all that is used on it
  DeviceWeights weights_;
  Forward forward_;
  SamplingLoop loop_;
  DeviceBuffer<float> kept_logits_;  // (n_vocab)
  std::size_t bytes_;
  PinnedBuffer<int> staged_tokens_;  // (n_ctx)
  Event tokens_copied_ = Event::create();
  PinnedBuffer<float> host_logits_;  // (n_vocab)
  DeviceBuffer<ArgmaxResult> best_{1}, best_partial_{kArgmaxBlocks};
  PinnedBuffer<ArgmaxResult> host_best_{1};
  bool have_logits_ = false;  // host_logits_ are those after position_ tokens
  bool is_sampling_ = false;
  int position_ = 0;
  int logits_position_ = -1, kept_position_ = -1;  // whose logits forward_ and kept_logits_ hold
  int start_ = 0, n_sampled_ = 0;                  // of the sampling
};

}  // namespace

bool built_with_cuda() {
  return true;
}

std::unique_ptr<Backend> make_cuda_backend(const Model& model, const BackendOptions& options) {
  const CudaDevice device = open_device(options.device_index);
  check_memory(model, forward_sizes(model, options, device), device);
  return std::make_unique<CudaBackend>(model, options, device);
}

int max_cuda_context(const Model& model, const CudaDevice& device) {
  const bool bfloat16 = has_bfloat16(device);
  const int chunk = Forward::best_chunk(model, bfloat16);
  const auto needed = [&](int n_ctx) {
    const ForwardSizes sizes{.n_ctx = n_ctx, .chunk = chunk, .has_bfloat16 = bfloat16};
    return Forward::bytes_needed(model, sizes);
  };
  const std::size_t fixed = DeviceWeights::bytes_needed(model.weights) + sampling_bytes(model) +
                            kReservedBytes + needed(0);
  const std::size_t per_position = needed(1) - needed(0);
  if (fixed >= device.free_bytes) return 0;
  const std::size_t positions = (device.free_bytes - fixed) / per_position;
  return static_cast<int>(std::min<std::size_t>(positions, std::numeric_limits<int>::max()));
}

}  // namespace haikuda
