// The samplers that drop candidates and change no logit. Each leaves at least one.
#pragma once

#include "infer/sampler_candidates.h"

namespace haikuda {

// The k likeliest; all when k <= 0.
void keep_top_k(Candidates& candidates, int k);
// The likeliest, until their probabilities sum to p; at least min_keep.
void keep_top_p(Candidates& candidates, double p, int min_keep);
// Those at least p times as probable as the likeliest; at least min_keep.
void keep_min_p(Candidates& candidates, double p, int min_keep);
// Those whose surprise is nearest to the entropy, until their probabilities sum to more than p; at
// least min_keep.
void keep_typical(Candidates& candidates, double p, int min_keep);
// Those whose logit is within n standard deviations of the greatest; all when n <= 0.
void keep_top_n_sigma(Candidates& candidates, double n);
// Drops all that have at least the probability `threshold`, but the least likely of them; none when
// fewer than min_keep would be left.
void drop_top_choices(Candidates& candidates, double threshold, int min_keep);

}  // namespace haikuda
