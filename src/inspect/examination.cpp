#include "inspect/examination.h"

#include "base/error.h"
#include "inspect/stage_stats.h"

namespace haikuda {
namespace {

// Of the first layer alone.
class FirstLayer : public Probe {
 public:
  explicit FirstLayer(StageRows& rows) : rows_(rows) {}
  bool wants(Stage stage, int layer, int, int) const override {
    return is_of_layer(stage) && layer == 0;
  }
  void show(const StageView& view) override { rows_.show(view); }

 private:
  StageRows& rows_;
};

// The greatest of the finite logits; token 0 when none is.
int choose(Backend& backend) {
  const auto best = greatest(backend.logits(), 1);
  return best.empty() ? 0 : best[0].first;
}

std::vector<CachedKv> whole_cache(Backend& backend, int n_layers) {
  std::vector<CachedKv> out;
  out.reserve(static_cast<std::size_t>(n_layers));
  for (int layer = 0; layer < n_layers; ++layer) out.push_back(backend.cached_kv(layer));
  return out;
}

// Prompt at once, then a token at a time.
void run_and_decode(Backend& backend,
                    Examination& exam,
                    int n_decode,
                    std::span<const int> continuation,
                    int n_layers) {
  backend.set_probe(&exam.run);
  backend.append(exam.tokens);
  exam.positions.push_back(backend.position());
  exam.generated.push_back(choose(backend));
  exam.after_prompt = whole_cache(backend, n_layers);
  for (int i = 0; i < n_decode; ++i) {
    const int token =
        continuation.empty() ? exam.generated.back() : continuation[static_cast<std::size_t>(i)];
    backend.append(std::span(&token, 1));
    exam.tokens.push_back(token);
    exam.positions.push_back(backend.position());
    exam.generated.push_back(choose(backend));
  }
  exam.at_end = whole_cache(backend, n_layers);
}

}  // namespace

Examination examine(Backend& backend,
                    const ModelConfig& config,
                    std::span<const int> prompt,
                    int n_decode,
                    std::span<const int> continuation) {
  HAIKUDA_CHECK(!prompt.empty());
  Examination exam;
  exam.tokens.assign(prompt.begin(), prompt.end());
  exam.n_prompt = static_cast<int>(prompt.size());
  if (!continuation.empty()) n_decode = static_cast<int>(continuation.size());
  backend.truncate(0);
  run_and_decode(backend, exam, n_decode, continuation, config.n_layers);

  backend.truncate(0);
  backend.set_probe(&exam.stepwise);
  for (const int token : prompt) backend.append(std::span(&token, 1));

  backend.truncate(0);
  FirstLayer first_layer(exam.repeated);
  backend.set_probe(&first_layer);
  backend.append(std::vector<int>(kRepeats, prompt.back()));

  backend.set_probe(nullptr);
  backend.truncate(0);
  return exam;
}

}  // namespace haikuda
