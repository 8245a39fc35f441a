#include "text/stop_matcher.h"

#include <algorithm>
#include <ctime>
#include <optional>
#include <string>
#include <vector>

#include "base/utf8.h"
#include "support/catch.h"
#include "support/random.h"

namespace haikuda {
namespace {

struct Outcome {
  std::string text;
  std::optional<std::string> match;
};

// Pushed in pieces of `size` bytes.
Outcome run(const std::vector<std::string>& stops, const std::string& text, std::size_t size) {
  StopMatcher matcher(stops);
  Outcome out;
  for (std::size_t at = 0; at < text.size(); at += size)
    out.text += matcher.push(text.substr(at, size));
  if (matcher.matched()) out.match = matcher.match();
  if (!matcher.matched()) out.text += matcher.flush();
  return out;
}

// The definition: the match that ends first, the longest of those.
Outcome searched(const std::vector<std::string>& stops, const std::string& text) {
  for (std::size_t end = 1; end <= text.size(); ++end) {
    const std::string* best = nullptr;
    for (const std::string& stop : stops)
      if (text.substr(0, end).ends_with(stop) && (best == nullptr || stop.size() > best->size()))
        best = &stop;
    if (best != nullptr) return {text.substr(0, end - best->size()), *best};
  }
  return {text, std::nullopt};
}

TEST_CASE("stop_matcher: without stop strings everything passes at once", "[text][stop]") {
  StopMatcher matcher({});
  CHECK(matcher.push("any text") == "any text");
  CHECK(matcher.flush().empty());
  CHECK_FALSE(matcher.matched());
}

TEST_CASE("stop_matcher: what may be a beginning is held back and no more", "[text][stop]") {
  const std::vector<std::string> stops = {"END"};
  StopMatcher matcher(stops);
  CHECK(matcher.push("the E") == "the ");
  CHECK(matcher.push("N").empty());
  CHECK(matcher.push("E") == "EN");  // ENE: only its last E may begin a match
  CHECK(matcher.push("ND and more").empty());
  REQUIRE(matcher.matched());
  CHECK(matcher.match() == "END");
  CHECK(matcher.push("never seen").empty());
}

TEST_CASE("stop_matcher: the end gives back what was no match", "[text][stop]") {
  const std::vector<std::string> stops = {"\n\n"};
  StopMatcher matcher(stops);
  CHECK(matcher.push("line\n") == "line");
  CHECK(matcher.flush() == "\n");
}

TEST_CASE("stop_matcher: the match that ends first wins, of those the longest", "[text][stop]") {
  CHECK(run({"abcd", "bc"}, "xabcd", 5).text == "xa");
  CHECK(run({"c", "abc"}, "xabc", 1).text == "x");
  CHECK(*run({"c", "abc"}, "xabc", 1).match == "abc");
}

TEST_CASE("stop_matcher: equals a plain search for any pieces", "[text][stop]") {
  test::Random random(7);
  for (int round = 0; round < 3000; ++round) {
    const auto letters = [&](int most) {
      std::string s;
      for (int n = random.integer(1, most); n > 0; --n) s += random.integer(0, 1) == 0 ? 'a' : 'b';
      return s;
    };
    std::vector<std::string> stops;
    for (int n = random.integer(1, 4); n > 0; --n) stops.push_back(letters(5));
    const std::string text = letters(24);
    const Outcome want = searched(stops, text);
    for (const std::size_t size : {1u, 2u, 3u, 100u}) {
      const Outcome got = run(stops, text, size);
      CAPTURE(stops, text, size);
      REQUIRE(got.text == want.text);
      REQUIRE(got.match == want.match);
    }
  }
}

TEST_CASE("stop_matcher: characters stay whole", "[text][stop]") {
  const std::vector<std::string> stops = {"é!"};
  StopMatcher matcher(stops);
  for (const char* piece : {"è", "é", "é", "?", "é"})
    CHECK_FALSE(find_invalid_utf8(matcher.push(piece)));
  CHECK(matcher.flush() == "é");
}

TEST_CASE("stop_matcher: linear for the worst strings", "[text][stop]") {
  const std::vector<std::string> stops = {std::string(5000, 'a') + "b"};
  const std::string text(1'000'000, 'a');
  const std::clock_t start = std::clock();  // the processor's time: others may be busy
  CHECK(run(stops, text, 1000).text == text);
  CHECK(std::clock() - start < 5 * CLOCKS_PER_SEC);
}

}  // namespace
}  // namespace haikuda
