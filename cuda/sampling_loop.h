// Tokens chosen on the device one after another, ahead of the host that reads them: decoding and
// sampling are one graph, or several times the same in one, whose replays find token, position and
// counters in device memory.
#pragma once

#include <span>

#include "cuda/forward.h"
#include "cuda/resources.h"
#include "cuda/sample_ops.h"
#include "infer/common_chain.h"

namespace haikuda::cuda {

class SamplingLoop {
 public:
  // `forward` and `stream` outlive this.
  SamplingLoop(Forward& forward, int n_vocab, int n_ctx, const Stream& stream);
  // What start() and next() would do when they are first called, for chains that are greedy or not.
  // Only enqueues.
  void prepare(bool greedy);
  // Device memory that the constructor takes.
  static std::size_t bytes_needed(int n_vocab);

  // n_history tokens lie in forward.tokens(), forward.logits() are those that follow. At most
  // n_most tokens will be computed, and none whose place is beyond the context. What an earlier
  // start still has on its way is dropped. chain.top_k is at most kMostTopK.
  void start(const CommonChain& chain,
             std::span<const LogitBias> biases,
             int n_history,
             int n_most);
  // Waits for the next token. Error(gpu_fault) when one of its logits is not finite.
  int next();

 private:
  void enqueue();
  SampledToken wait(unsigned sequence) const;
  void check_stream(unsigned sequence) const;

  Forward& forward_;
  cudaStream_t stream_;
  DeviceBuffer<double> bias_;  // (n_vocab)
  DeviceBuffer<int> counts_;   // (n_vocab)
  DeviceBuffer<std::uint64_t> keys_{kSampleGroups};
  DeviceBuffer<int> ids_{kSampleGroups};
  DeviceBuffer<SampleState> state_{1};
  PinnedBuffer<SampledToken> ring_{kSampleRing};
  SampleBuffers buffers_;
  // A token, and several; captured by prepare().
  struct Steps {
    GraphExec one, several;
  };
  Steps steps_, greedy_steps_;
  bool is_greedy_ = false;
  unsigned next_sequence_ = 1;   // of the next token to be enqueued
  unsigned first_sequence_ = 1;  // of this start's first token
  int n_history_ = 0, n_most_ = 0, n_enqueued_ = 0, n_read_ = 0;
};

}  // namespace haikuda::cuda
