#include "base/map_guard.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <mutex>

#include "base/error.h"

namespace haikuda {
namespace {

// What the signal handler looks at: process-wide, as signals are. A slot is free while its end is
// 0.
struct Slot {
  std::atomic<std::uintptr_t> begin{0}, end{0};
};
std::array<Slot, 1024> slots;

std::uintptr_t address(const void* p) {
  return reinterpret_cast<std::uintptr_t>(p);
}

void on_bus_error(int signal, siginfo_t* info, void*) {
  const std::uintptr_t at = address(info->si_addr);
  for (const Slot& slot : slots)
    if (at >= slot.begin && at < slot.end) {
      constexpr char message[] =
          "haikuda: error: the model file changed or became unreadable while it was in use; check "
          "it and run again\n";
      [[maybe_unused]] const auto written = ::write(STDERR_FILENO, message, sizeof message - 1);
      ::_exit(static_cast<int>(ExitCode::model_file));
    }
  ::signal(signal, SIG_DFL);  // not ours: the access is repeated and ends the process
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

}  // namespace

void guard_map(std::span<const std::byte> map) {
  static std::once_flag installed;
  std::call_once(installed, install_handler);
  const std::uintptr_t begin = address(map.data());
  for (Slot& slot : slots) {
    std::uintptr_t free = 0;
    if (slot.end.compare_exchange_strong(free, begin + map.size())) {
      slot.begin =
          begin;  // until now the slot covers [0, end), which no other memory of ours faults in
      return;
    }
  }
}

void release_map(std::span<const std::byte> map) {
  for (Slot& slot : slots)
    if (slot.begin == address(map.data())) {
      slot.begin = 0;
      slot.end = 0;
      return;
    }
}

}  // namespace haikuda
