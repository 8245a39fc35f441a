// Not a test: where the time of the kernel that decodes a token goes, phase by phase.
//   haikuda_token_bench FILE [DEPTH, default 256] [KEYS_ALONE]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "cuda/download.h"
#include "cuda/ops.h"
#include "cuda/token_program.h"
#include "model/model.h"
#include "time_graph.h"

namespace haikuda::cuda {
namespace {

constexpr const char* kNames[] = {"q, k, v", "attention", "output", "gate, up", "down", "head"};
constexpr int kHead = kTokenPhases;

// Cycles of one launch: of each mark and phase, of all blocks.
class Times {
 public:
  Times(std::vector<unsigned long long> marks, int n_blocks, int n_phases)
      : marks_(std::move(marks)), n_blocks_(n_blocks), n_phases_(n_phases) {}

  struct Span {
    double mean, most;
  };
  // From mark `from` to `to`, of the last n_blocks blocks: the mean, and that of the block that
  // takes longest, over the phases of that kind.
  Span span(int kind, int from, int to, int n_blocks) const {
    Span sum{};
    int n = 0;
    // The head's phase is one of its own.
    const int end = kind == kHead ? n_phases_ : n_phases_ - 1;
    for (int phase = kind == kHead ? n_phases_ - 1 : kind; phase < end;
         phase += kTokenPhases, ++n) {
      double most = 0;
      for (int block = n_blocks_ - n_blocks; block < n_blocks_; ++block) {
        const auto cycles = static_cast<double>(at(block, phase, to) - at(block, phase, from));
        sum.mean += cycles / n_blocks;
        most = std::max(most, cycles);
      }
      sum.most += most;
    }
    return {sum.mean / n, sum.most / n};
  }
  // Of the first block, from begin to end.
  double cycles() const {
    return static_cast<double>(at(0, n_phases_ - 1, kTokenMarks - 1) - at(0, 0, 0));
  }

 private:
  unsigned long long at(int block, int phase, int mark) const {
    return marks_[static_cast<std::size_t>((block * n_phases_ + phase) * kTokenMarks + mark)];
  }
  std::vector<unsigned long long> marks_;
  int n_blocks_, n_phases_;
};

void run(const char* path, int depth, int keys_alone) {
  const Model model(open_model_files(path));
  const ModelConfig& c = model.config;
  DeviceWeights weights(model);
  weights.wait();
  const Stream stream = Stream::create();
  const int n_ctx = depth + 1;
  const KvCache cache(c, n_ctx);
  CUDA_CHECK(cudaMemset(cache.k(0), 0, cache.bytes()));
  const DeviceBuffer<float> x(static_cast<std::size_t>(c.n_embd)),
      logits(static_cast<std::size_t>(c.n_vocab)),
      table(static_cast<std::size_t>(n_ctx * c.rope.n_dims));
  const DeviceBuffer<ArgmaxResult> best(1024);
  const DeviceBuffer<int> position(1);
  const std::vector<float> ones(x.size(), 1.0f);
  x.upload(ones, stream.get());
  table.clear(stream.get());
  set_int(position.data(), depth, stream.get());
  const auto program = TokenProgram::make(
      model, weights, cache, {x.data(), logits.data(), best.data(), position.data(), table.data()},
      stream);
  if (!program) {
    std::printf("%s: the chain decodes it\n", path);
    return;
  }
  if (keys_alone >= 0) program->set_keys_alone(keys_alone);
  const double us = time_graph_us(stream, [&] { program->run(true, stream.get()); });
  const int n_phases = program->head_phase() + 1;
  const DeviceBuffer<unsigned long long> marks(
      static_cast<std::size_t>(program->n_blocks() * n_phases * kTokenMarks));
  const double us_marked =
      time_graph_us(stream, [&] { program->run_timed(marks.data(), stream.get()); });
  const Times times(download(marks.data(), marks.size(), stream.get()), program->n_blocks(),
                    n_phases);
  std::printf("%s at %d: %.1f us a token, %s\n", path, depth, us, program->description().c_str());
  std::printf("with marks %.1f us, at %.2f GHz\n", us_marked, times.cycles() / us_marked / 1e3);
  std::printf("cycles, mean (most)  %16s %16s %16s %16s\n", "wait", "multiply", "finish", "all");
  for (int kind = 0; kind <= kHead; ++kind) {
    const bool is_attention = kind == kPhaseAttend;
    const int n = is_attention ? std::min(c.n_heads, program->n_blocks()) : program->n_blocks();
    std::printf("%-19s", kNames[kind]);
    for (const auto& [from, to] :
         {std::pair(0, 1), std::pair(1, 2), std::pair(2, 3), std::pair(0, 3)}) {
      if (is_attention && to - from == 1) {
        std::printf(" %16s", "");
        continue;
      }
      const Times::Span span = times.span(kind, from, to, n);
      std::printf(" %7.0f (%6.0f)", span.mean, span.most);
    }
    std::printf("\n");
  }
}

}  // namespace
}  // namespace haikuda::cuda

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: haikuda_token_bench FILE [DEPTH] [KEYS_ALONE]\n");
    return 2;
  }
  haikuda::cuda::run(argv[1], argc > 2 ? std::atoi(argv[2]) : 256,
                     argc > 3 ? std::atoi(argv[3]) : -1);
}
