// Sampler options that are texts, as token ids.
#pragma once

#include "app/options.h"
#include "text/tokenizer.h"

namespace haikuda {

// Fills options.sampler.logit_bias and dry_breakers from options.sampler_texts. Throws
// Error(usage).
void resolve_sampler_texts(Options& options, const Tokenizer& tokenizer);

}  // namespace haikuda
