// The one exception type a user can reach, with the exit code of the documented table.
// Not for broken invariants: those are HAIKUDA_CHECK.
#pragma once

#include <stdexcept>
#include <string>

namespace haikuda {

enum class ExitCode : int {
  ok = 0,
  internal = 1,         // a broken invariant of ours
  usage = 2,            // bad command line
  model_file = 3,       // model missing, unreadable or invalid
  unsupported = 4,      // architecture, type, tokenizer or template that is not supported
  no_gpu = 5,           // no usable GPU or driver
  out_of_memory = 6,    // GPU or host
  gpu_fault = 7,        // GPU fault or non-finite logits
  io = 8,               // input or output failed
  prompt_too_long = 9,  // prompt does not fit the context
  check_failed = 10,    // diagnose: not healthy; bench: below --fail-below; --fail-on-length
  timeout = 124,
  interrupted = 130,  // SIGINT
  broken_pipe = 141,  // SIGPIPE
  terminated = 143,   // SIGTERM
};

// What went wrong, where, expected and got, and what to try, in one line.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace haikuda

// Always on: throws Error(internal) naming the condition.
#define HAIKUDA_CHECK(condition) \
  ((condition) ? void(0) : ::haikuda::check_failed(#condition, __FILE__, __LINE__))
