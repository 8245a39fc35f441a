#include "app/process.h"

#include <string>
#include <thread>

#include "support/catch.h"

namespace haikuda::test {
namespace {

struct Mourned {
  Mourned(std::string& deaths, char n) : all(deaths), name(n) {}
  ~Mourned() { all += name; }
  std::string& all;
  char name;
};

TEST_CASE("process: what was kept goes in reverse order", "[app]") {
  std::string deaths;
  {
    Process process;
    const Mourned& model = process.keep(std::make_unique<Mourned>(deaths, 'm'));
    process.keep(std::make_unique<Mourned>(deaths, 'b'));
    CHECK(model.name == 'm');
    CHECK(deaths.empty());
    CHECK_FALSE(process.may_end_at_once());
  }
  CHECK(deaths == "bm");
}

TEST_CASE("process: a device is started where the options allow one", "[app][threads]") {
  Process process;
  process.start_device({DeviceKind::cpu, 0});
  CHECK(process.cuda() == nullptr);
  process.start_device({DeviceKind::automatic, 0});
  REQUIRE((process.cuda() != nullptr) == built_with_cuda());
  if (!built_with_cuda()) return;
  const auto& [device, reason] = process.cuda()->wait();
  CHECK(device.has_value() == reason.empty());
  CHECK(process.may_end_at_once() == device.has_value());
  CHECK(!process.timeline().spans().empty());
}

TEST_CASE("process: a device that is not there is said to be missing, or none can be used",
          "[app][threads]") {
  Timeline timeline;
  const CudaStart start(4711, timeline);
  CHECK_FALSE(start.wait().device.has_value());
  CHECK_FALSE(start.wait().reason.empty());
  CHECK_FALSE(start.may_hold_context());
}

TEST_CASE("process: it may end while a device is being started", "[app][threads]") {
  Process process;
  process.start_device({DeviceKind::automatic, 0});
}

}  // namespace
}  // namespace haikuda::test
