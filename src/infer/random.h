// Counter-based random numbers: a draw depends on seed, counter and stream alone, never on what was
// drawn before, so that a seed means the same text on every device. Integer arithmetic only, usable
// on a device as it stands.
#pragma once

#include <cstdint>

namespace haikuda {

// Every random decision at a position has a stream of its own.
enum class RandomStream : std::uint64_t {
  token = 0,  // which token is taken
  xtc = 1,    // whether XTC acts
};

// The mixer of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
constexpr std::uint64_t mix_bits(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Uniform in [0, 1) with 53 bits. Mixed twice, so that neighbouring seeds and streams share no
// numbers.
constexpr double uniform(std::uint64_t seed,
                         std::uint64_t counter,
                         RandomStream stream = RandomStream::token) {
  constexpr std::uint64_t kStep = 0x9e3779b97f4a7c15u;
  const std::uint64_t key = mix_bits(seed + kStep * (static_cast<std::uint64_t>(stream) + 1));
  return static_cast<double>(mix_bits(key + kStep * (counter + 1)) >> 11) * 0x1p-53;
}

}  // namespace haikuda
