// malloc and its kin replaced for a whole executable, C++'s operator new and shared libraries
// included: counted, and made to fail on demand. Not with a sanitizer, which replaces them too.
#pragma once

#include <cstddef>

namespace haikuda::test {

// Live now, by malloc and its kin, of all threads.
long live_allocations();
std::size_t live_bytes();
// The greatest live_bytes() since the last call of reset_peak_bytes().
std::size_t peak_bytes();
void reset_peak_bytes();

// Counts from 1 from now on; the n-th allocation fails, and with `for_good` all after it. 0: none
// fails.
void fail_allocation(long n, bool for_good);
// Since the last fail_allocation() or fork_at_allocations().
long allocations_counted();

// What became of a child.
struct ForkedEnd {
  long n;         // the allocation that failed
  bool for_good;  // and all after it
  int status;     // of waitpid
};

// Until stop_forking(), each allocation of this thread forks: in a child it fails, and with
// `for_good` in a second one it and all after it. A child goes on with its stdout and stderr in the
// two files, which are emptied before; when it has ended, `on_end` is told, which may allocate.
void fork_at_allocations(int stdout_file,
                         int stderr_file,
                         bool for_good,
                         void (*on_end)(const ForkedEnd&));
void stop_forking();
bool is_forked_child();

}  // namespace haikuda::test
