#include "cuda/sampling_loop.h"

#include <algorithm>
#include <atomic>
#include <thread>

#include "infer/backend.h"

namespace haikuda::cuda {
namespace {

// Tokens on their way at least when the host waits for one: enough to outlast what it does between
// two, few enough that the end of a text costs little.
constexpr int kAhead = 3;
// Tokens of one graph, as long as so many may follow: from one graph to the next takes 4.5 us.
constexpr int kTogether = 6;
static_assert(2 * (kAhead + kTogether) < kSampleRing);

}  // namespace

SamplingLoop::SamplingLoop(Forward& forward, int n_vocab, int n_ctx, const Stream& stream)
    : forward_(forward),
      stream_(stream.get()),
      bias_(static_cast<std::size_t>(n_vocab)),
      counts_(static_cast<std::size_t>(n_vocab)),
      buffers_{.logits = forward.logits().data(),
               .bias = bias_.data(),
               .counts = counts_.data(),
               .keys = keys_.data(),
               .ids = ids_.data(),
               .state = state_.data(),
               .tokens = forward.tokens().data(),
               .position = forward.position().data(),
               .ring = ring_.data(),
               .n_vocab = n_vocab,
               .n_ctx = n_ctx} {
  std::fill(ring_.span().begin(), ring_.span().end(), SampledToken{});
}

std::size_t SamplingLoop::bytes_needed(int n_vocab) {
  return static_cast<std::size_t>(n_vocab) * (sizeof(double) + sizeof(int)) +
         kSampleGroups * (sizeof(std::uint64_t) + sizeof(int)) + sizeof(SampleState);
}

void SamplingLoop::prepare(bool greedy) {
  Steps& steps = greedy ? greedy_steps_ : steps_;
  if (steps.one.get() != nullptr) return;
  const auto enqueue_steps = [&](int n) {
    const ArgmaxResult* partial = forward_.best_partial().data();
    if (greedy && forward_.can_step_greedily()) {
      int n_partial = 0;
      for (int i = 0; i < n; ++i) n_partial = forward_.step_greedily(i, buffers_);
      sample_greedy(buffers_, partial, n_partial, n - 1, stream_);
      return;
    }
    for (int i = 0; i < n; ++i) {
      const int n_partial = forward_.step();
      if (greedy)
        sample_greedy(buffers_, partial, n_partial, 0, stream_);
      else
        sample_token(buffers_, stream_);
    }
  };
  steps.one = GraphExec::capture(stream_, [&] { enqueue_steps(1); });
  steps.several = GraphExec::capture(stream_, [&] { enqueue_steps(kTogether); });
}

void SamplingLoop::start(const CommonChain& chain,
                         std::span<const LogitBias> biases,
                         int n_history,
                         int n_most) {
  HAIKUDA_CHECK(n_most >= 1);
  if (chain.has_bias) {
    std::vector<double> bias(bias_.size(), 0.0);
    for (const LogitBias& b : biases)
      if (static_cast<std::size_t>(b.id) < bias.size())
        bias[static_cast<std::size_t>(b.id)] += b.bias;
    bias_.upload(bias, stream_);  // pageable memory: it has been read when this returns
  }
  is_greedy_ = is_greedy(chain);
  begin_sampling(buffers_, chain, next_sequence_, n_history, stream_);
  first_sequence_ = next_sequence_;
  n_history_ = n_history;
  n_most_ = std::min(n_most, buffers_.n_ctx - n_history + 1);
  n_enqueued_ = n_read_ = 0;
}

void SamplingLoop::enqueue() {
  int n = 1;
  if (n_enqueued_ == 0) {
    sample_token(buffers_, stream_);
  } else {
    prepare(is_greedy_);
    const Steps& steps = is_greedy_ ? greedy_steps_ : steps_;
    if (n_most_ - n_enqueued_ >= kTogether) n = kTogether;
    (n == kTogether ? steps.several : steps.one).launch(stream_);
  }
  n_enqueued_ += n;
  next_sequence_ += static_cast<unsigned>(n);
}

int SamplingLoop::next() {
  HAIKUDA_CHECK(n_read_ < n_most_);
  while (n_enqueued_ < std::min(n_read_ + 1 + kAhead, n_most_)) enqueue();
  const SampledToken sampled = wait(first_sequence_ + static_cast<unsigned>(n_read_));
  if (sampled.token < 0)
    throw_not_finite(n_history_ + n_read_, sampled.not_finite_id, sampled.not_finite);
  ++n_read_;
  return sampled.token;
}

SampledToken SamplingLoop::wait(unsigned sequence) const {
  constexpr int kSpinsToYield = 64, kSpinsToCheck = 4096;
  const volatile SampledToken& slot = ring_.data()[sequence % kSampleRing];
  for (int spins = 1; slot.sequence != sequence; ++spins) {
    if (spins % kSpinsToYield == 0) std::this_thread::yield();
    if (spins % kSpinsToCheck == 0) check_stream(sequence);
  }
  std::atomic_thread_fence(std::memory_order_acquire);
  return {slot.not_finite_id, slot.not_finite, slot.token, sequence};
}

// Throws when the token will never come.
void SamplingLoop::check_stream(unsigned sequence) const {
  const cudaError_t status = cudaStreamQuery(stream_);
  if (status == cudaErrorNotReady) {
    (void)cudaGetLastError();  // no error, but kept like one
    return;
  }
  CUDA_CHECK(status);
  const volatile SampledToken& slot = ring_.data()[sequence % kSampleRing];
  HAIKUDA_CHECK(slot.sequence == sequence);
}

}  // namespace haikuda::cuda
