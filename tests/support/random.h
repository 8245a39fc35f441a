// Seeded numbers that are the same on every machine: integer arithmetic and exact float operations
// only.
#pragma once

#include <cstdint>
#include <vector>

namespace haikuda::test {

// splitmix64: https://prng.di.unimi.it/splitmix64.c
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint8_t byte() { return static_cast<std::uint8_t>(bits() >> 56); }
  // In [low, high].
  int integer(int low, int high) {
    return low + static_cast<int>(bits() % static_cast<std::uint64_t>(high - low + 1));
  }
  // In [0, 1).
  float uniform() { return static_cast<float>(bits() >> 40) * 0x1p-24f; }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  // Mean 0, standard deviation 1, within +-6: the sum of twelve 16-bit uniforms.
  float normal() {
    std::uint64_t sum = 0;
    for (int i = 0; i < 3; ++i)
      for (std::uint64_t b = bits(), j = 0; j < 4; ++j, b >>= 16) sum += b & 0xffffu;
    return static_cast<float>(static_cast<std::int64_t>(sum) - 6 * 65535) * 0x1p-16f;
  }

 private:
  std::uint64_t state_;
};

inline std::vector<float> random_normal(std::size_t n, std::uint64_t seed, float scale = 1) {
  Random random(seed);
  std::vector<float> out(n);
  for (float& x : out) x = scale * random.normal();
  return out;
}

inline std::vector<float> random_uniform(std::size_t n,
                                         std::uint64_t seed,
                                         float low = -1,
                                         float high = 1) {
  Random random(seed);
  std::vector<float> out(n);
  for (float& x : out) x = random.uniform(low, high);
  return out;
}

}  // namespace haikuda::test
