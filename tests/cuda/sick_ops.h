// Mistakes planted between the CUDA backend and its kernels, in one layer: the linker hands the
// calls of some ops to this file first (--wrap, CMakeLists.txt here). Production code knows nothing
// of it.
#pragma once

#include "support/sick_backend.h"

namespace haikuda::test {

// In layer kSickLayer of all passes from now on, of a model of n_layers; Fault::none: nothing.
// Called between passes. Those that it can plant: rope_position_zero, kv_slot_off_by_one,
// gqa_by_modulo, no_attention_scale, and mask_without_past, where each token sees itself alone. All
// of them in prompts, which is enough to find them, and in tokens that attend_token decodes.
void plant(Fault fault, int n_layers);
// How often that happened since: 0 when the ops that are handed over here were not called.
int n_planted();

}  // namespace haikuda::test
