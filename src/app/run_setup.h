// A model made ready to generate, in two steps: what its header tells, then its weights.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "app/device.h"
#include "app/options.h"
#include "app/result_record.h"
#include "app/text_sink.h"
#include "infer/generator.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace haikuda {

// Nothing is allocated on a device yet.
struct OpenedModel {
  // Brings `options` up to date with the sampling that the file asks for, and says on stderr what
  // --verbose asks for.
  explicit OpenedModel(Options& options);

  std::chrono::steady_clock::time_point start;
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  Placement placement;
};

struct LoadedModel {
  std::unique_ptr<Backend> backend;
  RunFacts facts;
};

// `opened` outlives the backend. Throws Error(out_of_memory) before anything is allocated.
LoadedModel load_model(const OpenedModel& opened, const Options& options);

// With a random seed when none was asked for.
GenerateOptions generate_options(const Options& options, const RunFacts& run);
// Whether a signal or --timeout asks for the end; throws Error(broken_pipe) when nobody reads.
std::function<bool()> stop_question(const TextSink& sink);
// finish_reason_name, or "timeout".
std::string reason_name(FinishReason reason);

}  // namespace haikuda
