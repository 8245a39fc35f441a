// What a model on a device shows of itself over a short prompt and some decoded tokens.
#pragma once

#include <span>
#include <vector>

#include "infer/backend.h"
#include "inspect/stage_rows.h"

namespace haikuda {

struct Examination {
  std::vector<int> tokens;     // all that were computed on, the prompt's first
  int n_prompt = 0;            // at least 1
  std::vector<int> generated;  // the greatest finite logit after the prompt and after each token
  std::vector<int> positions;  // of the backend, after the prompt and after each token

  StageRows run;       // the prompt at once, then a token at a time
  StageRows stepwise;  // the prompt's tokens one at a time
  StageRows repeated;  // the prompt's last token kRepeats times: layer 0 alone
  std::vector<CachedKv> after_prompt, at_end;  // the cache of each layer

  int n_tokens() const { return static_cast<int>(tokens.size()); }
};
constexpr int kRepeats = 6;

// Decodes n_decode tokens greedily, or those of `continuation` when there are any. The context
// holds max(prompt + decoded, kRepeats) tokens. Non-finite logits do not end it. Leaves the
// backend without a probe.
Examination examine(Backend& backend,
                    const ModelConfig& config,
                    std::span<const int> prompt,
                    int n_decode,
                    std::span<const int> continuation = {});

}  // namespace haikuda
