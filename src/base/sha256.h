// SHA-256 (FIPS 180-4), to tell files apart in records; not for secrets.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace haikuda {

class Sha256 {
 public:
  void add(std::span<const std::byte> bytes);
  // In 64 hexadecimal digits; ends it, nothing is added after.
  std::string finish();

 private:
  static constexpr std::size_t kBlockBytes = 64;

  void compress(const std::byte* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::byte, kBlockBytes> block_{};
  std::size_t n_block_ = 0;  // bytes of block_ that are filled
  std::uint64_t n_bytes_ = 0;
};

}  // namespace haikuda
