// The examples of FIPS 180-4, and texts of every length about a block cut in every way.
#include "base/sha256.h"

#include <string_view>

#include "support/catch.h"

namespace haikuda::test {
namespace {

std::string digest(std::string_view text, std::size_t piece) {
  const auto bytes = std::as_bytes(std::span(text));
  Sha256 sha;
  for (std::size_t at = 0; at < bytes.size(); at += piece)
    sha.add(bytes.subspan(at, std::min(piece, bytes.size() - at)));
  return sha.finish();
}

TEST_CASE("sha256: the standard's examples", "[base]") {
  CHECK(digest("", 1) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abc", 3) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 100) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest(std::string(1000000, 'a'), 4096) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("sha256: how the bytes are cut does not matter", "[base]") {
  for (std::size_t n = 50; n < 140; ++n) {
    const std::string text(n, static_cast<char>('a' + n % 26));
    const std::string whole = digest(text, n);
    for (const std::size_t piece : {1u, 7u, 63u, 64u, 65u}) CHECK(digest(text, piece) == whole);
  }
}

}  // namespace
}  // namespace haikuda::test
