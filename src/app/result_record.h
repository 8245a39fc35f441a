// The JSON that --json and --jsonl write; result.schema.json describes it.
#pragma once

#include <cstdint>
#include <string>

#include "app/model_facts.h"
#include "base/error.h"
#include "infer/generator.h"
#include "text/tokenizer.h"

namespace haikuda {

// What all samples of a run share.
struct RunFacts {
  std::string id;  // of this run alone
  ModelFacts model;
  std::string header_sha256;  // of the model; empty when no record is asked for
  std::string device;
  std::uint64_t device_bytes = 0;
  bool on_gpu = false;
  int n_ctx = 0;
  double load_s = 0;
};

struct SampleFacts {
  int index = 0;
  const SamplerOptions& sampler;  // with this sample's seed
  const GenerateResult& result;
  std::string finish_reason;  // finish_reason_name, or "timeout" or "error"
  std::string text;           // as printed
  const Error* error = nullptr;
};

// One line each, with its newline. `ascii`: for a terminal.
std::string result_line(const RunFacts& run,
                        const SampleFacts& sample,
                        const Tokenizer& tokenizer,
                        bool as_event,
                        bool ascii);
std::string token_line(int sample, const TokenEvent& event, const Tokenizer& tokenizer, bool ascii);
// Text that became certain only at the end, of no token in particular.
std::string rest_line(int sample, const std::string& text, bool ascii);

}  // namespace haikuda
