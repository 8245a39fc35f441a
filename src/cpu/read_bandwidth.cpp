#include "cpu/read_bandwidth.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/simd.h"
#include "base/thread_pool.h"

namespace haikuda {
namespace {

constexpr std::int64_t kWords = std::int64_t{1} << 25;  // 256 MiB
constexpr std::int64_t kGrain = std::int64_t{1} << 17;  // 1 MiB
constexpr double kLongest_s = 0.3;
constexpr int kFewestPasses = 3;

typedef std::uint64_t Lanes __attribute__((vector_size(64)));
constexpr std::int64_t kLanes = sizeof(Lanes) / sizeof(std::uint64_t);

// `n` is a multiple of 4 * kLanes.
HAIKUDA_SIMD_CLONES
std::uint64_t sum_words(const std::uint64_t* words, std::int64_t n) {
  Lanes sums[4] = {};
  for (std::int64_t i = 0; i < n; i += 4 * kLanes)
    for (std::int64_t part = 0; part < 4; ++part) {
      Lanes lanes;
      std::memcpy(&lanes, words + i + part * kLanes, sizeof lanes);
      sums[part] += lanes;
    }
  const Lanes all = sums[0] + sums[1] + sums[2] + sums[3];
  std::uint64_t sum = 0;
  for (int lane = 0; lane < kLanes; ++lane) sum += all[lane];
  return sum;
}

}  // namespace

CpuReadBandwidth measure_cpu_read_bandwidth(int n_threads) {
  using Clock = std::chrono::steady_clock;
  ThreadPool pool(n_threads);
  const std::vector<std::uint64_t> words(kWords, 1);
  double best_s = 0, sum_s = 0;
  for (int pass = 0; pass < kFewestPasses || sum_s < kLongest_s; ++pass) {
    std::atomic<std::uint64_t> sum{0};
    const auto start = Clock::now();
    pool.parallel_for(kWords, kGrain, [&](std::int64_t begin, std::int64_t end) {
      sum += sum_words(words.data() + begin, end - begin);
    });
    const double pass_s = std::chrono::duration<double>(Clock::now() - start).count();
    HAIKUDA_CHECK(sum == kWords);  // also keeps the reads from being optimised away
    best_s = pass == 0 ? pass_s : std::min(best_s, pass_s);
    sum_s += pass_s;
  }
  return {static_cast<double>(kWords) * sizeof(std::uint64_t) / best_s, pool.size()};
}

}  // namespace haikuda
