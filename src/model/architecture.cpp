#include "model/architecture.h"

#include <array>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

// RoPE style is not in the file's metadata: llama files have the rows of q and k permuted at
// conversion.
constexpr std::array kArchitectures = {
    Architecture{"llama", RopeStyle::interleaved, Presence::optional,
                 Presence::never},  // also Mistral, SmolLM2
    Architecture{"qwen2", RopeStyle::neox, Presence::required, Presence::never},
    Architecture{"qwen3", RopeStyle::neox, Presence::never, Presence::required},
};

}  // namespace

std::span<const Architecture> all_architectures() {
  return kArchitectures;
}

const Architecture& find_architecture(std::string_view name, const std::string& file_name) {
  std::string supported;
  for (const Architecture& a : kArchitectures) {
    if (a.name == name) return a;
    supported += fmt::format("{}{}", supported.empty() ? "" : ", ", a.name);
  }
  throw Error(ExitCode::unsupported,
              fmt::format("{}: architecture '{}' is not supported (supported: {})",
                          printable(file_name), printable(name), supported));
}

}  // namespace haikuda
