// The changes of single logits before anything is dropped: bias and the three penalties for
// repeated tokens.
#pragma once

#include <span>
#include <vector>

#include "infer/sampler_candidates.h"
#include "infer/sampler_options.h"

namespace haikuda {

// The last n tokens of `history`, or all of them; all when n < 0.
std::span<const int> last_tokens(std::span<const int> history, int n);

// Drops the candidates whose bias is minus infinity. Throws Error(usage) when that is all of them.
void apply_logit_bias(Candidates& candidates, std::span<const LogitBias> biases);

// Once for each token of `recent` that is a candidate: its logit is divided by `repeat` (multiplied
// when negative), then lowered by frequency * occurrences + presence.
void apply_penalties(Candidates& candidates,
                     std::span<const int> recent,
                     double repeat,
                     double frequency,
                     double presence);

}  // namespace haikuda
