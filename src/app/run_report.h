// What a run says on stderr.
#pragma once

#include <string>

#include "app/options.h"
#include "app/result_record.h"
#include "base/timeline.h"
#include "infer/backend.h"

namespace haikuda {

void print_warnings(const Options& options);  // of the command line
// Nothing with --quiet.
void note(const Options& options, const std::string& message);
// Each option's value and where it came from.
void print_settings(const Options& options);
void print_model(const Model& model, const Backend& backend);
// When each phase of a run began and ended.
void print_timeline(const Timeline& timeline);
// The line of numbers.
void print_stats(const GenerateResult& result,
                 const RunFacts& run,
                 const std::string& reason,
                 const SamplerOptions& sampler);

}  // namespace haikuda
