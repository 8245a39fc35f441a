// What the records are made of.
#include "app/json_text.h"

#include "support/catch.h"

namespace haikuda::test {
namespace {

TEST_CASE("base64: the vectors of RFC 4648", "[app][json]") {
  CHECK(base64("").empty());
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foob") == "Zm9vYg==");
  CHECK(base64("fooba") == "Zm9vYmE=");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64("\xff\xfe\xfd") == "//79");
}

TEST_CASE("set_text: bytes only where they are not UTF-8", "[app][json]") {
  Json good, bad;
  set_text(good, "caf\xc3\xa9");
  CHECK(good == Json{{"text", "café"}});
  set_text(bad, "caf\xc3");
  CHECK(bad == Json{{"text", "caf\xef\xbf\xbd"}, {"bytes", "Y2Fmww=="}});
}

TEST_CASE("dump_json: one line, never throws, ASCII for a terminal", "[app][json]") {
  CHECK(dump_json({{"text", "a\nb"}}, false) == "{\"text\":\"a\\nb\"}\n");
  CHECK(dump_json({{"text", "\xc3"}}, false) == "{\"text\":\"\xef\xbf\xbd\"}\n");
  CHECK(dump_json({{"text", "\u202e"}}, true) == "{\"text\":\"\\u202e\"}\n");
}

}  // namespace
}  // namespace haikuda::test
