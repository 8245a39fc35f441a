// The samplers of a run for its record.
#pragma once

#include "app/json_text.h"
#include "infer/sampler.h"

namespace haikuda {

Json sampler_json(const SamplerOptions& options);

}  // namespace haikuda
