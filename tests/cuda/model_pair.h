// One model on the CPU and on the GPU, driven in step, and how far their logits are apart.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpu_backend.h"
#include "cpu/ops.h"
#include "cuda/cuda_backend.h"
#include "support/nmse.h"
#include "support/random.h"
#include "support/tiny_model.h"

namespace haikuda::test {

inline std::vector<float> copy_of(std::span<const float> values) {
  return {values.begin(), values.end()};
}

inline std::vector<int> random_tokens(int n, int n_vocab, std::uint64_t seed) {
  Random random(seed);
  std::vector<int> out;
  for (int i = 0; i < n; ++i) out.push_back(random.integer(0, n_vocab - 1));
  return out;
}

// A model whose file lies in memory.
struct TinyModel {
  explicit TinyModel(const TinyModelOptions& options)
      : TinyModel(make_tiny_model(options), "tiny.gguf") {}
  TinyModel(std::vector<std::byte> file, const char* name)
      : bytes(std::move(file)), model(open_model_bytes(bytes, name)) {}
  std::vector<std::byte> bytes;
  Model model;

  std::unique_ptr<Backend> on_cuda(int n_ctx = 256, int chunk = 0) const {
    return make_cuda_backend(model, {.n_ctx = n_ctx, .chunk = chunk});
  }
  std::unique_ptr<Backend> on_cpu(int n_ctx = 256) const {
    return make_cpu_backend(model, {.n_ctx = n_ctx, .half_cache = true});
  }
};

// The logits after `tokens`, appended at once.
inline std::vector<float> logits_after(Backend& backend, std::span<const int> tokens) {
  backend.append(tokens);
  return copy_of(backend.logits());
}

// How much the greatest logit is ahead of the second.
inline float top_gap(std::span<const float> logits) {
  const int best = cpu::argmax(logits);
  float second = -std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < logits.size(); ++i)
    if (static_cast<int>(i) != best) second = std::max(second, logits[i]);
  return logits[static_cast<std::size_t>(best)] - second;
}

struct Agreement {
  double nmse = 0;                       // over the logits of all steps
  double worst_nmse = 0;                 // of one step
  std::vector<std::string> near_ties;    // other greedy token, but the CPU's gap is below the limit
  std::vector<std::string> differences;  // other greedy token without that excuse
};

// After the prompt and after each of n_tokens greedy tokens, which are the CPU's on both sides.
inline Agreement compare_greedy(
    Backend& cpu, Backend& gpu, std::vector<int> tokens, int n_tokens, float near_tie) {
  Agreement out;
  std::vector<float> all_want, all_got;
  for (int i = 0; i <= n_tokens; ++i) {
    const std::vector<float> want = logits_after(cpu, tokens), got = logits_after(gpu, tokens);
    out.worst_nmse = std::max(out.worst_nmse, nmse(got, want));
    all_want.insert(all_want.end(), want.begin(), want.end());
    all_got.insert(all_got.end(), got.begin(), got.end());
    const int token = cpu.argmax(), other = gpu.argmax();
    if (token != other) {
      const float gap = top_gap(want);
      (gap < near_tie ? out.near_ties : out.differences)
          .push_back("token " + std::to_string(i) + ": cpu " + std::to_string(token) + ", cuda " +
                     std::to_string(other) + ", gap " + std::to_string(gap));
    }
    tokens = {token};
  }
  out.nmse = nmse(all_got, all_want);
  return out;
}

}  // namespace haikuda::test
