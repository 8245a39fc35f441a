// Catch2, version 2 (Debian 12) or 3, with what the tests use under one name for both.
#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define HAIKUDA_SKIP(message) SKIP(message)
namespace haikuda::test {
template <class T>
using Matcher = Catch::Matchers::MatcherBase<T>;
using Catch::Approx;
inline auto contains_text(const std::string& text) {
  return Catch::Matchers::ContainsSubstring(text);
}
}  // namespace haikuda::test
#else
#include <catch2/catch.hpp>
// Version 2 counts the test as passed: whole groups of tests are skipped by their executable
// instead.
#define HAIKUDA_SKIP(message)       \
  do {                              \
    WARN("skipped: " << (message)); \
    return;                         \
  } while (false)
namespace haikuda::test {
template <class T>
using Matcher = Catch::MatcherBase<T>;
using Catch::Detail::Approx;
inline auto contains_text(const std::string& text) {
  return Catch::Matchers::Contains(text);
}
}  // namespace haikuda::test
#endif
