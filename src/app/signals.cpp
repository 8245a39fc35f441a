#include "app/signals.h"

#include <sys/time.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>

namespace haikuda {
namespace {

volatile std::sig_atomic_t received = 0;
enum Mode : std::sig_atomic_t { nothing_generated, gentle, reading_line };
volatile std::sig_atomic_t mode = nothing_generated;
termios terminal_before;  // line editing changed it
volatile std::sig_atomic_t has_terminal = 0;

// Calls only what a handler may call.
void on_signal(int signal) {
  const int saved = errno;
  if (received == SIGINT || received == SIGTERM) ::_exit(128 + signal);
  if (mode == reading_line) {
    if (has_terminal != 0) {
      ::tcsetattr(STDIN_FILENO, TCSANOW, &terminal_before);
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, "\n", 1);
    }
    ::_exit(128 + signal);
  }
  if (mode == nothing_generated) {
    constexpr char message[] = "haikuda: interrupted before anything was generated\n";
    [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message, sizeof message - 1);
    ::_exit(128 + signal);
  }
  received = signal;
  errno = saved;
}

// That it was handled is what ends the read, so that the line begins anew.
void on_continue(int) {}

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
  mode = gentle;
}

void nothing_to_lose_on_signals() {
  mode = nothing_generated;
}

void end_at_once_on_signals() {
  has_terminal = ::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &terminal_before) == 0;
  mode = reading_line;
  struct sigaction action {};
  sigemptyset(&action.sa_mask);
  action.sa_handler = on_continue;
  ::sigaction(SIGCONT, &action, nullptr);
}

void forget_interrupt() {
  if (received == SIGINT) received = 0;
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
