// How much memory this process may still take on the host.
#pragma once

#include <cstddef>

namespace haikuda::cpu {

// Bytes: the least of what the system has available, what the process's limit of address space
// leaves and what its control group leaves. 0 when the system does not tell.
std::size_t available_memory();

}  // namespace haikuda::cpu
