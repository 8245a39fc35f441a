#include "cpu/host_memory.h"

#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace haikuda::cpu {
namespace {

constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

std::size_t minus(std::size_t a, std::size_t b) {
  return a > b ? a - b : 0;
}

// The number after `key` in a file of lines "key number ...".
std::optional<std::size_t> number_of(const std::string& path, const std::string& key) {
  std::ifstream in(path);
  std::string word, rest;
  while (in >> word) {
    std::size_t n = 0;
    if (word == key && in >> n) return n;
    std::getline(in, rest);
  }
  return std::nullopt;
}

// The only number of a file; nullopt too when it says "max".
std::optional<std::size_t> number_in(const std::string& path) {
  std::ifstream in(path);
  std::size_t n = 0;
  return in >> n ? std::optional(n) : std::nullopt;
}

// Where /proc is not mounted, as in a bare chroot, the kernel does not say how much of the used
// memory is page cache, which can be taken back; half of all is a guess.
std::size_t guess_by_kernel() {
  struct sysinfo info {};
  if (::sysinfo(&info) != 0) return 0;
  return std::max<std::size_t>(info.freeram, info.totalram / 2) * info.mem_unit;
}

std::size_t left_of_address_space() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kUnlimited;
  const auto pages = number_in("/proc/self/statm");
  const auto page_bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return minus(limit.rlim_cur, pages.value_or(0) * page_bytes);
}

// Version 2 of control groups, as a container sees its own. Its page cache can be taken back.
std::size_t left_of_control_group() {
  const std::string folder = "/sys/fs/cgroup/";
  const auto limit = number_in(folder + "memory.max"), used = number_in(folder + "memory.current");
  if (!limit || !used) return kUnlimited;
  const std::size_t cached = number_of(folder + "memory.stat", "file").value_or(0);
  return minus(*limit, minus(*used, cached));
}

}  // namespace

std::size_t available_memory(const std::string& proc) {
  constexpr std::size_t kKib = 1024;
  const auto told_kib = number_of(proc + "/meminfo", "MemAvailable:");
  const std::size_t system = told_kib ? *told_kib * kKib : guess_by_kernel();
  return std::min({system, left_of_address_space(), left_of_control_group()});
}

}  // namespace haikuda::cpu
