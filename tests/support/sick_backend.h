// A backend with one fault planted in its computation. Without one it computes what the CPU
// backend does; production code knows nothing of it.
#pragma once

#include <memory>

#include "infer/backend.h"

namespace haikuda::test {

constexpr int kSickLayer = 1;  // where the faults of a layer are planted

enum class Fault {
  none,
  untransposed_k,       // k's matrix read as (cols, rows), with the wrong leading dimension
  untransposed_output,  // the same of the output matrix
  no_q_bias,
  no_k_bias,
  no_v_bias,
  other_rope_style,
  other_rope_base,
  rope_position_zero,
  k_rotated_twice,  // cached keys are rotated again by each pass
  kv_slot_off_by_one,
  mask_without_past,  // a token sees its own pass alone
  gqa_by_modulo,
  no_attention_scale,
  softmax_f16_without_max,
  norm_epsilon,  // 0.5
  no_norm_weight,
  embedding_off_by_one,
  output_not_tied,  // another matrix than the tied one
};

// gpu: K and V in half; in a prompt of several tokens also weights, norms, queries, the softmax's
// weights, gate, up and the activation, all with sums in F32. What attention keeps to itself is
// shown as the CUDA backend shows it: recomputed from the rotated q and the K of the cache,
// whatever the fault.
enum class Imitated { cpu, gpu };

// Uses the weights of `model`, which outlives it.
std::unique_ptr<Backend> make_sick_backend(const Model& model,
                                           int n_ctx,
                                           Fault fault,
                                           Imitated device = Imitated::cpu);

}  // namespace haikuda::test
