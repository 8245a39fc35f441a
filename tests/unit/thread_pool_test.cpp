#include <atomic>
#include <stdexcept>
#include <vector>

#include "base/thread_pool.h"
#include "support/catch.h"

namespace haikuda::test {
namespace {

TEST_CASE("thread pool: every index exactly once, for many small jobs", "[base]") {
  ThreadPool pool(GENERATE(1, 2, 5));
  for (std::int64_t n = 0; n < 300; ++n) {
    std::vector<std::atomic<int>> hits(static_cast<std::size_t>(n));
    pool.parallel_for(n, 1 + n % 7, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++hits[static_cast<std::size_t>(i)];
    });
    for (const auto& h : hits) REQUIRE(h == 1);
  }
}

TEST_CASE("thread pool: the caller waits for a range that a worker has begun", "[base]") {
  ThreadPool pool(16);  // more than there are processors, so that workers are held up anywhere
  std::atomic<int> n = 0;
  constexpr int kRounds = 100000;
  for (int round = 0; round < kRounds; ++round)
    pool.parallel_for(16, 1, [&](std::int64_t, std::int64_t) { ++n; });
  REQUIRE(n == 16 * kRounds);
}

TEST_CASE("thread pool: an exception in any thread reaches the caller, and the pool goes on",
          "[base]") {
  ThreadPool pool(3);
  REQUIRE_THROWS_AS(pool.parallel_for(100, 1,
                                      [](std::int64_t i, std::int64_t) {
                                        if (i == 57) throw std::runtime_error("57");
                                      }),
                    std::runtime_error);
  std::atomic<int> n = 0;
  pool.parallel_for(10, 1, [&](std::int64_t, std::int64_t) { ++n; });
  REQUIRE(n == 10);
}

}  // namespace
}  // namespace haikuda::test
