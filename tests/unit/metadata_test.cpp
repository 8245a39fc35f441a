// Typed access to metadata: conversions that are allowed, and the message of those that are not.
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "gguf/gguf_file.h"
#include "gguf/metadata.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/gguf_writer.h"

namespace haikuda::test {
namespace {

Metadata parsed(const GgufWriter& w) {
  const std::vector<std::byte> bytes = w.finish();
  return parse_gguf(bytes, "m.gguf").metadata;
}

Metadata sample() {
  GgufWriter w;
  w.set("u8", std::uint8_t{200}).set("i8", std::int8_t{-5}).set("u16", std::uint16_t{60000});
  w.set("i16", std::int16_t{-300}).set("u32", std::uint32_t{7}).set("i32", std::int32_t{-7});
  w.set("u64", std::uint64_t{1} << 40).set("i64", std::int64_t{-1} << 40);
  w.set("huge", std::numeric_limits<std::uint64_t>::max());
  w.set("f32", 0.25f).set("f64", 1e300).set("flag", true).set("text", "hello");
  w.set_array("strings", std::vector<std::string>{"a", "b"})
      .set_array("floats", std::vector<float>{1, 2});
  w.set_array("ints", std::vector<std::int32_t>{-1, 2})
      .set_array("uints", std::vector<std::uint8_t>{1, 255});
  w.set_array("hugeints", std::vector<std::uint64_t>{1, std::numeric_limits<std::uint64_t>::max()});
  w.set_array("bools", std::vector<bool>{true, false});
  return parsed(w);
}

// The call throws Error(model_file) that names file, key and problem.
template <class Call>
void require_refused(Call&& call, const std::string& key, const std::string& problem) {
  const Error error = error_of(call);
  REQUIRE(error.code() == ExitCode::model_file);
  REQUIRE_THAT(error.what(), contains_text("m.gguf: key " + key + ": "));
  REQUIRE_THAT(error.what(), contains_text(problem));
}

}  // namespace

TEST_CASE("metadata: any integer type reads as an integer", "[metadata]") {
  const Metadata m = sample();
  const std::int64_t low = std::numeric_limits<std::int64_t>::min();
  REQUIRE(m.find_int("u8") == 200);
  REQUIRE(m.find_int("u16") == 60000);
  REQUIRE(m.find_int("u32") == 7);
  REQUIRE(m.find_int("u64") == std::int64_t{1} << 40);
  REQUIRE(m.find_int("i8", low) == -5);
  REQUIRE(m.find_int("i16", low) == -300);
  REQUIRE(m.find_int("i32", low) == -7);
  REQUIRE(m.find_int("i64", low) == -(std::int64_t{1} << 40));
  REQUIRE(m.get_int("u32", 7, 7) == 7);
}

TEST_CASE("metadata: an integer out of range is refused with the range", "[metadata]") {
  const Metadata m = sample();
  require_refused([&] { m.find_int("i32"); }, "i32", "got -7");
  require_refused([&] { m.find_int("u32", 0, 6); }, "u32", "expected 0 to 6, got 7");
  require_refused([&] { m.get_int("u32", 8, 9); }, "u32", "expected 8 to 9, got 7");
  require_refused([&] { m.find_int("huge"); }, "huge", "got 18446744073709551615");
  require_refused([&] { m.find_ints("hugeints"); }, "hugeints", "18446744073709551615");
}

TEST_CASE("metadata: floats, bools, strings and arrays read as what they are", "[metadata]") {
  const Metadata m = sample();
  REQUIRE(m.find_float("f32") == 0.25);
  REQUIRE(m.get_float("f64") == 1e300);
  REQUIRE(m.find_bool("flag") == true);
  REQUIRE(m.get_string("text") == "hello");
  REQUIRE(m.get_strings("strings").size() == 2);
  REQUIRE(m.get_strings("strings")[1] == "b");
  REQUIRE(*m.find_floats("floats") == std::vector<double>{1, 2});
  REQUIRE(*m.find_ints("ints") == std::vector<std::int64_t>{-1, 2});
  REQUIRE(*m.find_ints("uints") == std::vector<std::int64_t>{1, 255});
}

TEST_CASE("metadata: another type than expected is named", "[metadata]") {
  const Metadata m = sample();
  require_refused([&] { m.find_int("f32"); }, "f32", "expected an integer, got f32");
  require_refused([&] { m.find_int("flag"); }, "flag", "expected an integer, got bool");
  require_refused([&] { m.find_int("ints"); }, "ints", "expected an integer, got array of i32");
  require_refused([&] { m.find_float("u32"); }, "u32", "expected a float, got u32");
  require_refused([&] { m.find_bool("u8"); }, "u8", "expected a bool, got u8");
  require_refused([&] { m.find_string("u8"); }, "u8", "expected a string, got u8");
  require_refused([&] { m.find_string("strings"); }, "strings",
                  "expected a string, got array of string");
  require_refused([&] { m.find_strings("text"); }, "text",
                  "expected an array of strings, got string");
  require_refused([&] { m.find_strings("ints"); }, "ints", "got array of i32");
  require_refused([&] { m.find_ints("floats"); }, "floats",
                  "expected an array of integers, got array of f32");
  require_refused([&] { m.find_ints("bools"); }, "bools", "got array of bool");
  require_refused([&] { m.find_floats("uints"); }, "uints",
                  "expected an array of floats, got array of u8");
}

TEST_CASE("metadata: an absent key is nothing, or an error where it must be there", "[metadata]") {
  const Metadata m = sample();
  REQUIRE_FALSE(m.contains("absent"));
  REQUIRE(m.contains("u8"));
  REQUIRE(m.find("absent") == nullptr);
  REQUIRE_FALSE(m.find_int("absent"));
  REQUIRE_FALSE(m.find_float("absent"));
  REQUIRE_FALSE(m.find_bool("absent"));
  REQUIRE_FALSE(m.find_ints("absent"));
  REQUIRE(m.find_string("absent") == nullptr);
  REQUIRE(m.find_strings("absent") == nullptr);
  REQUIRE(m.find_floats("absent") == nullptr);
  require_refused([&] { m.get_int("absent", 0, 1); }, "absent", "missing");
  require_refused([&] { m.get_float("absent"); }, "absent", "missing");
  require_refused([&] { m.get_string("absent"); }, "absent", "missing");
  require_refused([&] { m.get_strings("absent"); }, "absent", "missing");
}

TEST_CASE("metadata: keys keep the order of the file, prefixes are other keys", "[metadata]") {
  GgufWriter w;
  w.set("b", std::uint8_t{1}).set("a", std::uint8_t{2}).set("a.b", std::uint8_t{3});
  const Metadata m = parsed(w);
  REQUIRE(m.keys() == std::vector<std::string>{"b", "a", "a.b"});
  REQUIRE(m.find_int("a") == 2);
  REQUIRE(m.find_int("a.b") == 3);
}

TEST_CASE("metadata: a hostile file name does not reach the terminal", "[metadata]") {
  const Metadata m("evil\x1b[2J\n.gguf");
  const Error error = error_of([&] { m.get_string("key"); });
  REQUIRE(std::string(error.what()).find_first_of("\x1b\n") == std::string::npos);
}

}  // namespace haikuda::test
