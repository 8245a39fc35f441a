// A model made ready to generate, in two steps: what its header tells, then its weights.
#pragma once

#include <chrono>
#include <functional>
#include <memory>

#include "app/device.h"
#include "app/options.h"
#include "app/process.h"
#include "app/result_record.h"
#include "app/text_sink.h"
#include "infer/generator.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace haikuda {

// Nothing is allocated on a device yet.
struct OpenedModel {
  // Brings `options` up to date with the sampling that the file asks for, and says on stderr what
  // --verbose asks for. Does not wait for a GPU.
  OpenedModel(Options& options, Process& process);
  // Sets `placement`; waits for a GPU that may be used.
  void place(const Options& options, Process& process);

  std::chrono::steady_clock::time_point start;
  Model model;
  std::unique_ptr<Tokenizer> tokenizer;
  std::string header_sha256;  // empty when no record is asked for
  Placement placement;
};

struct LoadedModel {
  std::unique_ptr<Backend> backend;
  RunFacts facts;
};

// `opened` outlives the backend. `n_prompt`: tokens of the first prompt; 0: not known. Throws
// Error(out_of_memory) before anything is allocated.
LoadedModel load_model(const OpenedModel& opened,
                       const Options& options,
                       Process& process,
                       int n_prompt);

// With a random seed when none was asked for.
GenerateOptions generate_options(const Options& options, const RunFacts& run);
// Whether a signal or --timeout asks for the end; throws Error(broken_pipe) when nobody reads.
std::function<bool()> stop_question(const TextSink& sink);
// finish_reason_name, or "timeout".
std::string reason_name(FinishReason reason);

}  // namespace haikuda
