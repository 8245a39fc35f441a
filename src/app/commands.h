// One function for each command; each is in the file of its name.
#pragma once

#include "app/options.h"
#include "app/process.h"
#include "base/error.h"

namespace haikuda {

ExitCode run_generate(Options options, Process& process);
ExitCode run_chat(ChatOptions options, Process& process);
ExitCode run_info(const InfoOptions& options);
ExitCode run_tokenize(const TokenizeOptions& options);
ExitCode run_detokenize(const DetokenizeOptions& options);
// ExitCode::check_failed when there is a red flag.
ExitCode run_diagnose(const DiagnoseOptions& options, Process& process);
ExitCode run_devices(const DevicesOptions& options);
ExitCode run_bench(const BenchOptions& options, Process& process);

}  // namespace haikuda
