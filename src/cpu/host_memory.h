// How much memory this process may still take on the host.
#pragma once

#include <cstddef>
#include <string>

namespace haikuda::cpu {

// Bytes: the least of what the system has available, what the process's limit of address space
// leaves and what its control group leaves. `proc`: where /proc is mounted.
std::size_t available_memory(const std::string& proc = "/proc");

}  // namespace haikuda::cpu
