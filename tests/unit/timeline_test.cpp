#include "base/timeline.h"

#include <string>
#include <thread>

#include "support/catch.h"

namespace haikuda::test {
namespace {

TEST_CASE("timeline: phases in the order in which they began, whoever ended first",
          "[base][threads]") {
  Timeline timeline;
  {
    const Phase outer(&timeline, "outer");
    std::thread([&] { const Phase inner(&timeline, "inner"); }).join();
    const Phase nowhere(nullptr, "nowhere");
  }
  const auto spans = timeline.spans();
  REQUIRE(spans.size() == 2);
  CHECK(spans[0].name == std::string("outer"));
  CHECK(spans[1].name == std::string("inner"));
  CHECK(spans[0].begin_s >= 0);
  CHECK(spans[0].begin_s <= spans[1].begin_s);
  CHECK(spans[1].end_s <= spans[0].end_s);
}

TEST_CASE("timeline: what does not fit is dropped", "[base]") {
  Timeline timeline;
  const auto now = Timeline::Clock::now();
  for (int i = 0; i < 1000; ++i) timeline.add("phase", now, now, 7);
  const auto spans = timeline.spans();
  CHECK(spans.size() >= 16);
  CHECK(spans.size() < 1000);
  CHECK(spans.back().bytes == 7);
}

}  // namespace
}  // namespace haikuda::test
