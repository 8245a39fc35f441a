// A model loaded on a device together with the KV cache of one sequence. Coarse on purpose: how a
// device fuses, batches or overlaps its work is its own affair.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "infer/probe.h"
#include "model/model.h"

namespace haikuda {

struct BackendOptions {
  int n_ctx = 0;         // positions the KV cache holds; at least 1
  int n_threads = 0;     // of the host; 0: one for each core
  int chunk = 512;       // tokens of a prompt computed at once
  int device_index = 0;  // of several GPUs
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
  // costs nothing. It lives as long as append() and Generator::run() are called.
  virtual void set_probe(Probe* probe) { probe_ = probe; }
  Probe* probe() const { return probe_; }
  // A copy of the cache of one layer.
  virtual CachedKv cached_kv(int layer) = 0;

  // E.g. "CPU, 2 threads" or "CUDA 0, NVIDIA H200".
  virtual std::string device_name() const = 0;
  // Bytes held on the device: weights, cache and scratch.
  virtual std::size_t device_bytes() const = 0;

 private:
  Probe* probe_ = nullptr;
};

// Error(gpu_fault) naming the position, when a logit is NaN or infinite.
void check_finite_logits(std::span<const float> logits, int position);

}  // namespace haikuda
