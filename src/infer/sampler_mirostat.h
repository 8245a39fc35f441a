// Mirostat (arXiv 2007.14966): keeps the candidates that make the mean surprise of the text
// approach a target. The caller keeps mu, the greatest surprise allowed, and corrects it after each
// draw.
#pragma once

#include "infer/sampler_candidates.h"

namespace haikuda {

// Version 1: the k likeliest, k from mu and the exponent of the Zipf law that the likeliest 100
// follow.
void keep_mirostat_1(Candidates& candidates, double mu, int n_vocab);
// Version 2: those whose surprise is at most mu bits, the likeliest in any case.
void keep_mirostat_2(Candidates& candidates, double mu);
// The next mu, after a token of `surprise` bits among the candidates that were left.
double next_mu(double mu, double surprise, double target, double learning_rate);

}  // namespace haikuda
