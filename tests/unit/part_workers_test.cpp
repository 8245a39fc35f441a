#include "base/part_workers.h"

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.h"

namespace haikuda::test {
namespace {

TEST_CASE("part workers: every part once, each thread in ascending order", "[base][threads]") {
  const int n_threads = GENERATE(1, 2, 8);
  const std::size_t n_parts = GENERATE(0, 1, 7, 1000);
  CAPTURE(n_threads, n_parts);
  std::vector<std::atomic<int>> hits(n_parts);
  std::atomic<int> n_workers = 0;
  std::atomic<bool> ascends = true;
  PartWorkers workers(n_parts, n_threads, [&](PartQueue& parts, int worker) {
    ++n_workers;
    if (worker < 0 || worker >= n_threads) ascends = false;
    std::size_t last = 0;
    while (const auto part = parts.next()) {
      if (*part < last) ascends = false;
      last = *part;
      ++hits[*part];
    }
  });
  workers.wait();
  workers.wait();  // a second time changes nothing
  for (const auto& h : hits) REQUIRE(h == 1);
  CHECK(ascends);
  CHECK(n_workers <= static_cast<int>(n_parts));
}

TEST_CASE("part workers: what a thread throws reaches wait(), and no part is begun after it",
          "[base][threads]") {
  const int n_threads = GENERATE(1, 3);
  std::atomic<int> n_begun = 0, n_at_failure = 0;
  PartWorkers workers(100000, n_threads, [&](PartQueue& parts, int) {
    while (const auto part = parts.next()) {
      ++n_begun;
      if (*part != 50) continue;
      n_at_failure = n_begun.load();
      throw std::runtime_error("part 50");
    }
  });
  REQUIRE_THROWS_WITH(workers.wait(), "part 50");
  REQUIRE_THROWS_WITH(workers.wait(), "part 50");
  // At the moment of the failure the others may each have had one more in their hands, or many
  // before it was noted; all of them never.
  CHECK(n_begun < 100000);
  CHECK(n_at_failure >= 51);
}

TEST_CASE("part workers: a failure before the first part", "[base][threads]") {
  PartWorkers workers(10, 2, [](PartQueue&, int) { throw std::runtime_error("no device"); });
  REQUIRE_THROWS_WITH(workers.wait(), "no device");
}

TEST_CASE("part workers: an owner that goes does not wait for the parts that are left",
          "[base][threads]") {
  std::atomic<int> n_done = 0;
  {
    const PartWorkers workers(1000000, 2, [&](PartQueue& parts, int) {
      while (parts.next()) {
        ++n_done;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    while (n_done < 4) std::this_thread::yield();
  }
  CHECK(n_done < 1000000);
}

}  // namespace
}  // namespace haikuda::test
