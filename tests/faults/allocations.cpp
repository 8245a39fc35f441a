#include "faults/allocations.h"

#include <malloc.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

// glibc's own, below what is replaced here.
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace haikuda::test {
namespace {

// Constant-initialized: allocations begin before any constructor runs.
std::atomic<long> n_live{0}, n_counted{0}, failing{0};
std::atomic<bool> fails_for_good{false};
std::atomic<std::size_t> bytes_live{0}, bytes_peak{0};

bool is_forking = false, forks_twice = false, is_child = false, is_inside = false;
int out_file = -1, error_file = -1;
void (*end_hook)(const ForkedEnd&) = nullptr;

constexpr rlim_t kChildSeconds = 20;

void become_child(bool for_good) {
  is_forking = false;
  is_child = true;
  ::dup2(out_file, STDOUT_FILENO);
  ::dup2(error_file, STDERR_FILENO);
  const rlimit limit{kChildSeconds, kChildSeconds};
  ::setrlimit(RLIMIT_CPU, &limit);  // a child that hangs is a finding too
  fails_for_good = for_good;
  failing = for_good ? 1 : 0;
}

// True in the child, whose allocation fails.
bool fork_child(long n, bool for_good) {
  for (const int file : {out_file, error_file})
    if (::ftruncate(file, 0) != 0 || ::lseek(file, 0, SEEK_SET) != 0) std::abort();
  is_inside = true;
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    is_inside = false;
    become_child(for_good);
    return true;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  end_hook({n, for_good, status});
  is_inside = false;
  return false;
}

bool must_fail() {
  if (is_inside) return false;
  const long n = ++n_counted;
  if (is_forking) return fork_child(n, false) || (forks_twice && fork_child(n, true));
  const long at = failing;
  return at > 0 && (n == at || (n > at && fails_for_good));
}

void* refuse() {
  errno = ENOMEM;
  return nullptr;
}

void* account(void* p) {
  if (p == nullptr) return p;
  ++n_live;
  const std::size_t now = bytes_live += ::malloc_usable_size(p);
  for (std::size_t peak = bytes_peak; now > peak && !bytes_peak.compare_exchange_weak(peak, now);) {
  }
  return p;
}

void forget(void* p) {
  if (p == nullptr) return;
  --n_live;
  bytes_live -= ::malloc_usable_size(p);
}

}  // namespace

long live_allocations() {
  return n_live;
}
std::size_t live_bytes() {
  return bytes_live;
}
std::size_t peak_bytes() {
  return bytes_peak;
}
void reset_peak_bytes() {
  bytes_peak = bytes_live.load();
}

void fail_allocation(long n, bool for_good) {
  fails_for_good = for_good;
  failing = n;
  n_counted = 0;
}
long allocations_counted() {
  return n_counted;
}

void fork_at_allocations(int stdout_file,
                         int stderr_file,
                         bool for_good,
                         void (*on_end)(const ForkedEnd&)) {
  forks_twice = for_good;
  out_file = stdout_file;
  error_file = stderr_file;
  end_hook = on_end;
  n_counted = 0;
  is_forking = true;
}
void stop_forking() {
  is_forking = false;
}
bool is_forked_child() {
  return is_child;
}

extern "C" {

void* malloc(std::size_t n) {
  return must_fail() ? refuse() : account(__libc_malloc(n));
}
void* calloc(std::size_t n, std::size_t size) {
  return must_fail() ? refuse() : account(__libc_calloc(n, size));
}
void* realloc(void* p, std::size_t n) {
  if (must_fail()) return refuse();
  forget(p);
  void* moved = __libc_realloc(p, n);
  account(moved == nullptr && n > 0 ? p : moved);
  return moved;
}
void* memalign(std::size_t alignment, std::size_t n) {
  return must_fail() ? refuse() : account(__libc_memalign(alignment, n));
}
void* aligned_alloc(std::size_t alignment, std::size_t n) {
  return memalign(alignment, n);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t n) {
  *out = memalign(alignment, n);
  return *out == nullptr ? ENOMEM : 0;
}
void free(void* p) {
  forget(p);
  __libc_free(p);
}
}

}  // namespace haikuda::test
