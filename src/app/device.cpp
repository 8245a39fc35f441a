#include "app/device.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"

namespace haikuda {
namespace {

// The GPU, where there is one to be used; otherwise placement.note.
std::optional<CudaDevice> choose_device(Placement& placement,
                                        const ModelOptions& options,
                                        Process& process) {
  if (options.device.kind == DeviceKind::cpu) return std::nullopt;
  const bool required = options.device.kind == DeviceKind::cuda;
  if (!built_with_cuda()) {
    if (required)
      throw Error(ExitCode::no_gpu,
                  "--device cuda: this executable was built without CUDA; use --device cpu");
    return std::nullopt;
  }
  HAIKUDA_CHECK(process.cuda() != nullptr);
  const Phase phase(&process.timeline(), "wait for CUDA");
  const auto& [device, reason] = process.cuda()->wait();
  if (device) return device;
  if (required)
    throw Error(ExitCode::no_gpu,
                fmt::format("no usable CUDA device: {}; use --device cpu", reason));
  placement.note = fmt::format("running on the CPU: {}", reason);
  return std::nullopt;
}

void check_layers(const Model& model, const ModelOptions& options) {
  const int n = options.gpu_layers.value_or(0), all = model.config.n_layers;
  if (n > 0 && n < all)
    throw Error(
        ExitCode::usage,
        fmt::format(
            "--gpu-layers {}: a model of {} layers lies on one device as a whole; use all or 0", n,
            all));
}

[[noreturn]] void fail_device(const char* option, const std::string& value, const char* what) {
  throw Error(ExitCode::usage, fmt::format("{} {}: {}", option, printable(value), what));
}

// What a device does in one way only may be asked for where it is that way.
void check_ways(const ModelOptions& options, bool on_gpu) {
  const std::string& flash = options.flash_attention;
  if (on_gpu && (flash == "off" || flash == "0"))
    fail_device("--flash-attn", flash, "a GPU computes attention in no other way; use auto");
  if (!on_gpu && (flash == "on" || flash == "1"))
    fail_device("--flash-attn", flash, "the CPU, where this would run, has none; use auto");
  for (const auto& [option, type] : {std::pair("--cache-type-k", &options.cache_type_k),
                                     std::pair("--cache-type-v", &options.cache_type_v)})
    if (!type->empty() && *type != (on_gpu ? "f16" : "f32"))
      fail_device(option, *type, "the KV cache is f16 on a GPU and f32 on the CPU");
}

}  // namespace

Placement place_model(const Model& model, const ModelOptions& options, Process& process) {
  check_layers(model, options);
  Placement placement;
  if (const auto gpu = choose_device(placement, options, process)) {
    placement.cuda_device = gpu->index;
    placement.free_bytes = gpu->free_bytes;
    placement.gpu_name = gpu->name;
    placement.n_ctx_max = max_cuda_context(model, *gpu);
  } else {
    placement.n_ctx_max = max_cpu_context(model);
  }
  check_ways(options, placement.cuda_device.has_value());
  placement.n_ctx = options.n_ctx > 0 ? options.n_ctx : model.config.n_ctx_train;
  if (options.n_ctx == 0 && placement.n_ctx_max > 0)
    placement.n_ctx = std::min(placement.n_ctx, placement.n_ctx_max);
  return placement;
}

void check_fits(const Placement& p) {
  if (p.n_ctx_max < 1)
    throw Error(ExitCode::out_of_memory,
                "the model does not fit into the device's memory; try a smaller quantization or "
                "--device cpu");
  if (!p.fits())
    throw Error(
        ExitCode::out_of_memory,
        fmt::format("-c {} does not fit into the device's memory; the largest that does is {}",
                    p.n_ctx, p.n_ctx_max));
}

std::unique_ptr<Backend> make_backend(const Model& model,
                                      const ModelOptions& options,
                                      const Placement& placement,
                                      Process& process,
                                      const FirstUse& first) {
  const Phase phase(&process.timeline(), "backend");
  BackendOptions backend;
  backend.first = first;
  backend.timeline = &process.timeline();
  backend.n_ctx = placement.n_ctx;
  backend.n_threads = options.n_threads;
  if (!placement.cuda_device) {
    backend.chunk = options.ubatch > 0 ? options.ubatch : kCpuChunk;
    backend.half_cache = placement.half_cache;
    return make_cpu_backend(model, backend);
  }
  if (options.ubatch > 0) backend.chunk = options.ubatch;
  backend.device_index = *placement.cuda_device;
  return make_cuda_backend(model, backend);
}

}  // namespace haikuda
