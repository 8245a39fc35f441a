// A mapped file can shrink, or its disk fail, while it is being read; the system then sends SIGBUS.
// Inside a guarded map that becomes one line on stderr and the exit code of an unreadable model,
// instead of a core dump.
#pragma once

#include <cstddef>
#include <span>

namespace haikuda {

// Up to 1024 maps at once; more are not guarded. Safe from several threads.
void guard_map(std::span<const std::byte> map);
void release_map(std::span<const std::byte> map);

}  // namespace haikuda
