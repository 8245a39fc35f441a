#include "inspect/trace_filter.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {

std::set<Stage> parse_stages(std::string_view text, const std::string& flag) {
  std::set<Stage> out;
  if (text == "all") return out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string name(text.substr(begin, end - begin));
    const auto stage = find_stage(name);
    if (!stage) {
      std::string known;
      for (const StageInfo& info : all_stages()) known += fmt::format(" {}", info.name);
      throw Error(ExitCode::usage,
                  fmt::format("{}: there is no stage '{}'; the stages are{}, all is all", flag,
                              printable(name), known));
    }
    out.insert(*stage);
    begin = end + 1;
  }
  return out;
}

void check_filter(const TraceFilter& filter, const ModelConfig& config) {
  check_below(filter.layers, config.n_layers, "--trace-layers", "layer");
  check_below(filter.heads, config.n_heads, "--trace-heads", "head");
}

}  // namespace haikuda
