// Ctrl-C, SIGTERM and --timeout as a flag that the generation loop asks for; a second signal ends
// the process at once, as does one where there is nothing to finish.
#pragma once

#include <optional>

#include "base/error.h"

namespace haikuda {

void install_signal_handlers();
// Until this is called nothing was generated that could be lost, so Ctrl-C and SIGTERM end the
// process at once, whatever it is doing.
void finish_gently_on_signals();
// Again as it was before that.
void nothing_to_lose_on_signals();
// While a line is read: they end the process at once, and a terminal on stdin is left as it is now.
void end_at_once_on_signals();
// Ctrl-C has ended what it was meant for.
void forget_interrupt();
// After that time stop_requested() tells of the timeout.
void start_timeout(double seconds);
// The exit code of what asked the program to stop.
std::optional<ExitCode> stop_requested();

}  // namespace haikuda
