#include <thread>

#include <fmt/format.h>

#include "app/commands.h"
#include "app/json_text.h"
#include "app/model_facts.h"
#include "app/text_sink.h"
#include "app/version.h"
#include "base/printable.h"
#include "cuda/cuda_backend.h"
#include "infer/probe.h"

namespace haikuda {
namespace {

std::string build_text() {
  return fmt::format("haikuda {}, built by {} {}, {}{}\n", kVersion, HAIKUDA_COMPILER, __VERSION__,
                     built_with_cuda() ? "CUDA " HAIKUDA_CUDA_BUILD : "without CUDA",
                     kHasProbe ? "" : ", without a probe");
}

std::string devices_text(const std::vector<CudaDevice>& gpus,
                         const std::string& reason,
                         unsigned n_cores) {
  std::string out = fmt::format("cpu     {} threads\n", n_cores);
  for (const CudaDevice& d : gpus)
    out += fmt::format("cuda:{:<2} {}, compute {}.{}, {} of {} free\n", d.index, printable(d.name),
                       d.compute_major, d.compute_minor, human_bytes(d.free_bytes),
                       human_bytes(d.total_bytes));
  return gpus.empty() ? out + fmt::format("no usable GPU: {}\n", reason) : out;
}

Json devices_json(const std::vector<CudaDevice>& gpus,
                  const std::string& reason,
                  unsigned n_cores) {
  Json devices = Json::array({{{"device", "cpu"}, {"threads", n_cores}}});
  for (const CudaDevice& d : gpus)
    devices.push_back({{"device", fmt::format("cuda:{}", d.index)},
                       {"name", d.name},
                       {"compute", fmt::format("{}.{}", d.compute_major, d.compute_minor)},
                       {"total_bytes", d.total_bytes},
                       {"free_bytes", d.free_bytes}});
  return {{"schema", kSchemaVersion},
          {"devices", devices},
          {"no_gpu", gpus.empty() ? Json(reason) : Json(nullptr)}};
}

}  // namespace

ExitCode run_devices(const DevicesOptions& options) {
  std::string reason;
  const auto gpus = find_cuda_devices(reason);
  const unsigned n_cores = std::thread::hardware_concurrency();
  TextSink sink;
  if (options.system_info) sink.write(build_text());
  sink.write(options.json ? dump_json(devices_json(gpus, reason, n_cores), sink.is_terminal(), true)
                          : devices_text(gpus, reason, n_cores));
  sink.finish();
  return ExitCode::ok;
}

}  // namespace haikuda
