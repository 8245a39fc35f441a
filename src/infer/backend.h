// A model loaded on a device together with the KV cache of one sequence. Coarse on purpose: how a
// device fuses, batches or overlaps its work is its own affair.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/timeline.h"
#include "infer/probe.h"
#include "infer/sampler_options.h"
#include "model/model.h"

namespace haikuda {

// What will be asked for first, to make ready for it.
struct FirstUse {
  int n_prompt = 0;     // tokens of the prompt; 0: not known
  bool greedy = false;  // the greatest logit is chosen
};

struct BackendOptions {
  int n_ctx = 0;         // positions the KV cache holds; at least 1
  int n_threads = 0;     // of the host; 0: one for each core
  int chunk = 0;         // tokens of a prompt computed at once; 0: as the device likes
  int device_index = 0;  // of several GPUs
  // The CPU rounds K and V to half precision, as GPUs keep them: to compare the two.
  bool half_cache = false;
  FirstUse first = {};
  Timeline* timeline = nullptr;  // is told what loading does; outlives it
};

// K and V of one layer, as attention reads them: (position(), n_kv_heads, head_dim) each.
struct CachedKv {
  std::vector<float> k, v;
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Appends tokens to the sequence and computes the logits that follow the last one. Any number of
  // tokens from 1; position() + tokens.size() <= n_ctx() and every id lies in the vocabulary, or
  // Error(internal).
  virtual void append(std::span<const int> tokens) = 0;
  // (n_vocab) F32 of the last appended token; valid until the next append. Not called before the
  // first append.
  virtual std::span<const float> logits() = 0;
  // The id of the greatest logit, the lowest id of equals. Throws Error(gpu_fault) when a logit is
  // not finite.
  virtual int argmax() = 0;

  // Tokens in the cache, which is the position of the next one.
  virtual int position() const = 0;
  virtual int n_ctx() const = 0;
  // Forgets all positions from `n_tokens` on; 0 <= n_tokens <= position().
  virtual void truncate(int n_tokens) = 0;

  // From now on shows `probe` what append() computes; nullptr, as at first: nobody looks, which
  // costs nothing. It lives as long as append() and Generator::run() are called. A build without
  // kHasProbe takes nullptr alone.
  virtual void set_probe(Probe* probe) {
    HAIKUDA_CHECK(kHasProbe || probe == nullptr);
    probe_ = probe;
  }
  Probe* probe() const { return kHasProbe ? probe_ : nullptr; }
  // A copy of the cache of one layer.
  virtual CachedKv cached_kv(int layer) = 0;

  // ---- Optional: the backend chooses the tokens itself and computes ahead of its caller.

  // Whether start_sampling() does what `options` ask for, as Sampler does it.
  virtual bool can_sample(const SamplerOptions&) const { return false; }
  // Begins to choose what follows `history`, which is all tokens in the cache: at least one. Its
  // logits are those of the last append, or those an earlier start_sampling at this position began
  // with. At most `n_most` tokens will be asked for, at least one, and none beyond the context:
  // n_ctx() - position() + 1. Until stop_sampling() nothing else is called but next_token() and
  // position().
  virtual void start_sampling(const SamplerOptions& options,
                              std::span<const int> history,
                              int n_most);
  // The next token; waits until it is known. After it, position() counts the tokens before it.
  // Throws Error(gpu_fault) when a logit is not finite.
  virtual int next_token();
  // Forgets what was computed ahead; position() stays. Never throws. logits() and argmax() are not
  // those of the last token; they can be had again where position() is that of the start.
  virtual void stop_sampling();

  // E.g. "CPU, 2 threads" or "CUDA 0, NVIDIA H200".
  virtual std::string device_name() const = 0;
  // Bytes held on the device: weights, cache and scratch.
  virtual std::size_t device_bytes() const = 0;

 private:
  Probe* probe_ = nullptr;
};

// Error(gpu_fault): after `position` tokens the logit of `token` is `value`, NaN or infinite.
[[noreturn]] void throw_not_finite(int position, int token, float value);
// throw_not_finite() naming the lowest such token, when there is one.
void check_finite_logits(std::span<const float> logits, int position);

}  // namespace haikuda
