#include "base/printable.h"
#include "support/catch.h"

namespace haikuda::test {
namespace {

TEST_CASE("printable: text stays, what a terminal would obey becomes visible", "[base]") {
  REQUIRE(printable("héllo 世界 👋") == "héllo 世界 👋");
  REQUIRE(printable("a\x1b[31mb\n") == "a\\x1b[31mb\\x0a");
  REQUIRE(printable("\xc2\x9b"
                    "2J") == "\\u{9b}2J");  // C1 control sequence introducer
  REQUIRE(printable("\xe2\x80\xae"
                    "abc") == "\\u{202e}abc");  // right-to-left override
  REQUIRE(printable("caf\xe9") == "caf\\xe9");
  REQUIRE(printable("abcdef", 3) == "abc…");
}

}  // namespace
}  // namespace haikuda::test
