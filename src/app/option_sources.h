// Options from the environment and the configuration file, below those of the command line.
#pragma once

#include <string>
#include <vector>

#include "app/argv_shim.h"
#include "app/command_spec.h"
#include "app/option_groups.h"

namespace haikuda {

struct SourcedOption {
  std::string name;  // canonical
  std::string value;
  bool has_value = false;
  std::string origin;  // as in Setting
};

// Flags first, then the environment (HAIKUDA_TOP_K for --top-k, or llama.cpp's LLAMA_ARG_TOP_K),
// then the configuration file; an option comes from the first of them that has it. Throws
// Error(usage).
std::vector<SourcedOption> merge_sources(const ProgramSpec& program,
                                         const CommandSpec& command,
                                         const std::vector<ShimmedOption>& flags);

}  // namespace haikuda
