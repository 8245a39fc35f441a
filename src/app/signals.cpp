#include "app/signals.h"

#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>

namespace haikuda {
namespace {

volatile std::sig_atomic_t received = 0;
volatile std::sig_atomic_t is_gentle = 0;

// Calls only what a handler may call.
void on_signal(int signal) {
  const int saved = errno;
  if (received == SIGINT || received == SIGTERM) ::_exit(128 + signal);
  if (is_gentle == 0) {
    constexpr char message[] = "haikuda: interrupted before anything was generated\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message, sizeof message - 1);
    ::_exit(128 + signal);
  }
  received = signal;
  errno = saved;
}

void on_timeout(int signal) {
  if (received == 0) received = signal;
}

}  // namespace

void install_signal_handlers() {
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = on_signal;
  for (const int signal : {SIGINT, SIGTERM}) ::sigaction(signal, &action, nullptr);
  action.sa_handler = on_timeout;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGALRM, &action, nullptr);
}

void finish_gently_on_signals() {
  is_gentle = 1;
}

void start_timeout(double seconds) {
  if (seconds <= 0) return;
  constexpr double kTick = 1e-6;
  const double whole = std::floor(seconds);
  itimerval timer{};
  timer.it_value.tv_sec = static_cast<time_t>(whole);
  timer.it_value.tv_usec = static_cast<suseconds_t>((seconds - whole) / kTick);
  if (timer.it_value.tv_sec == 0 && timer.it_value.tv_usec == 0) timer.it_value.tv_usec = 1;
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

std::optional<ExitCode> stop_requested() {
  if (received == SIGINT) return ExitCode::interrupted;
  if (received == SIGTERM) return ExitCode::terminated;
  if (received == SIGALRM) return ExitCode::timeout;
  return std::nullopt;
}

}  // namespace haikuda
