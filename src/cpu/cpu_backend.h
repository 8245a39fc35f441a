// The reference backend: the forward pass as the papers write it, on the host's processors.
#pragma once

#include <memory>

#include "infer/backend.h"

namespace haikuda {

// Tokens of a prompt computed at once where nobody asks for another number: what they share stays
// in the processor's cache.
constexpr int kCpuChunk = 128;

// Uses the weights of `model` where they lie; it outlives the backend. Throws Error(out_of_memory)
// when the cache does not fit.
std::unique_ptr<Backend> make_cpu_backend(const Model& model, const BackendOptions& options);
// The largest n_ctx whose cache fits into half of the memory that is available now.
int max_cpu_context(const Model& model);

}  // namespace haikuda
