#include "app/plan.h"

#include <fmt/format.h>

#include "app/json_text.h"
#include "base/printable.h"
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "infer/kv_layout.h"

namespace haikuda {
namespace {

std::string device_name(const Placement& p) {
  return p.cuda_device ? fmt::format("cuda:{}", *p.cuda_device) : "cpu";
}

// Activations of a chunk and the logits, in F32; CUDA's workspaces come on top.
std::uint64_t scratch_bytes(const ModelConfig& c, int chunk) {
  const std::int64_t row = std::int64_t{c.n_embd} + c.q_size() + c.n_ff;
  const std::int64_t n_floats = (2 * row + c.rope.n_dims) * chunk + c.n_vocab;
  return static_cast<std::uint64_t>(n_floats) * sizeof(float);
}

}  // namespace

Plan make_plan(const Model& model,
               const Options& options,
               const Placement& placement,
               std::optional<int> n_prompt) {
  Plan plan{model_facts(model.files), placement, n_prompt};
  const bool gpu = placement.cuda_device.has_value();
  const int chunk = options.ubatch > 0 ? options.ubatch : gpu ? kCudaChunk : kCpuChunk;
  plan.weight_bytes = model.weights.total_bytes();
  plan.kv_bytes = KvLayout(model.config, placement.n_ctx).total_elems() *
                  static_cast<std::size_t>(placement.kv_elem_bytes());
  plan.scratch_bytes = scratch_bytes(model.config, std::min(chunk, placement.n_ctx));
  return plan;
}

std::string shortage_text(const Plan& plan) {
  const Placement& p = plan.placement;
  std::string out =
      fmt::format("a context of {} needs {} on {} (weights {}, KV cache {}, scratch {})", p.n_ctx,
                  human_bytes(plan.total_bytes()), device_name(p), human_bytes(plan.weight_bytes),
                  human_bytes(plan.kv_bytes), human_bytes(plan.scratch_bytes));
  if (p.free_bytes) out += fmt::format(", {} is free", human_bytes(*p.free_bytes));
  return out + (p.n_ctx_max >= 1 ? fmt::format("; the largest -c that fits is {}", p.n_ctx_max)
                                 : "; not even the weights fit: try a smaller quantization or "
                                   "--device cpu");
}

std::string plan_text(const Plan& plan) {
  const Placement& p = plan.placement;
  std::string out =
      fmt::format("model    {} {} {}, {}\n", printable(plan.model.architecture),
                  human_count(plan.model.n_params), plan.model.quant(), printable(plan.model.file));
  out += fmt::format("device   {}{}\n", device_name(p),
                     p.free_bytes ? ", " + human_bytes(*p.free_bytes) + " free" : "");
  out += fmt::format("context  {} tokens, {} at most\n", p.n_ctx, p.n_ctx_max);
  if (plan.n_prompt) out += fmt::format("prompt   {} tokens\n", *plan.n_prompt);
  out += fmt::format("weights  {}{}\n", human_bytes(plan.weight_bytes),
                     p.cuda_device ? "" : ", mapped from the file");
  out += fmt::format("KV cache {}\nscratch  {}\n", human_bytes(plan.kv_bytes),
                     human_bytes(plan.scratch_bytes));
  return out + fmt::format("total    {}, which {}\n", human_bytes(plan.total_bytes()),
                           p.fits() ? "fits" : "does not fit");
}

std::string plan_json(const Plan& plan) {
  const Placement& p = plan.placement;
  const Json json = {{"schema", kSchemaVersion},
                     {"model",
                      {{"file", plan.model.file},
                       {"name", plan.model.name},
                       {"arch", plan.model.architecture},
                       {"quant", plan.model.quant()}}},
                     {"device", device_name(p)},
                     {"n_ctx", p.n_ctx},
                     {"n_ctx_max", p.n_ctx_max},
                     {"prompt_tokens", plan.n_prompt ? Json(*plan.n_prompt) : Json(nullptr)},
                     {"weights_bytes", plan.weight_bytes},
                     {"kv_bytes", plan.kv_bytes},
                     {"scratch_bytes", plan.scratch_bytes},
                     {"total_bytes", plan.total_bytes()},
                     {"free_bytes", p.free_bytes ? Json(*p.free_bytes) : Json(nullptr)},
                     {"fits", p.fits()}};
  return dump_json(json, false, true);
}

}  // namespace haikuda
