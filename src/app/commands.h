// One function for each command; each is in the file of its name.
#pragma once

#include "app/options.h"
#include "base/error.h"

namespace haikuda {

// The answer of diagnose; no Error carries it.
inline constexpr ExitCode kNotHealthy{10};

ExitCode run_generate(Options options);
ExitCode run_info(const InfoOptions& options);
ExitCode run_tokenize(const TokenizeOptions& options);
ExitCode run_detokenize(const DetokenizeOptions& options);
// kNotHealthy when there is a red flag.
ExitCode run_diagnose(const DiagnoseOptions& options);
ExitCode run_devices(const DevicesOptions& options);

}  // namespace haikuda
