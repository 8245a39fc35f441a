// The sampling that a model's maker has put into its file.
#pragma once

#include "app/options.h"
#include "gguf/metadata.h"

namespace haikuda {

// general.sampling.* takes the place of defaults, never of what the user has set; settings are
// brought up to date. Throws Error(model_file) for a value that cannot be.
void apply_model_sampling(Options& options, const Metadata& metadata);

}  // namespace haikuda
