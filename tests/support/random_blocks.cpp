#include "support/random_blocks.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "base/half.h"
#include "quant/blocks.h"
#include "support/random.h"

namespace haikuda::test {
namespace {

template <class T>
void append(std::vector<std::byte>& out, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

int clamped_round(float x, int low, int high) {
  return static_cast<int>(
      std::clamp(std::nearbyint(x), static_cast<float>(low), static_cast<float>(high)));
}

// Scale and offset of n-bit quants: d * q + m, or d * (q - 2^(n-1)) where m is the unused half of
// the range.
struct Affine {
  float d, m, inverse;
};

Affine symmetric(std::span<const float> x, int bits) {
  float largest = 0;
  for (const float v : x)
    if (std::fabs(v) > std::fabs(largest)) largest = v;
  const float d = largest / static_cast<float>(-(1 << (bits - 1)));
  return {d, -d * static_cast<float>(1 << (bits - 1)), d != 0 ? 1 / d : 0};
}

Affine asymmetric(std::span<const float> x, int bits) {
  const auto [low, high] = std::minmax_element(x.begin(), x.end());
  const float d = (*high - *low) / static_cast<float>((1 << bits) - 1);
  return {d, *low, d != 0 ? 1 / d : 0};
}

// Splits 32 quants into nibbles and, for 5 bits, the word of high bits.
template <class Block>
void pack(Block& block, std::span<const float> x, const Affine& affine, int bits) {
  std::array<int, 32> q{};
  for (std::size_t j = 0; j < 32; ++j)
    q[j] = clamped_round((x[j] - affine.m) * affine.inverse, 0, (1 << bits) - 1);
  for (std::size_t j = 0; j < 16; ++j)
    block.qs[j] = static_cast<std::uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
  if constexpr (requires { block.qh; }) {
    std::uint32_t qh = 0;
    for (std::size_t j = 0; j < 32; ++j) qh |= static_cast<std::uint32_t>(q[j] >> 4) << j;
    for (std::size_t k = 0; k < 4; ++k) block.qh[k] = static_cast<std::uint8_t>(qh >> (8 * k));
  }
}

template <class Block>
void quantize_block(std::vector<std::byte>& out, std::span<const float> x, int bits) {
  Block block{};
  if constexpr (requires { block.m; }) {
    const Affine affine = asymmetric(x, bits);
    block.m = float_to_half(affine.m);
    block.d = float_to_half(affine.d);
    pack(block, x, affine, bits);
  } else {
    const Affine affine = symmetric(x, bits);
    block.d = float_to_half(affine.d);
    pack(block, x, affine, bits);
  }
  append(out, block);
}

void quantize_q8_0(std::vector<std::byte>& out, std::span<const float> x) {
  float largest = 0;
  for (const float v : x) largest = std::max(largest, std::fabs(v));
  const float d = largest / 127;
  BlockQ8_0 block{};
  block.d = float_to_half(d);
  for (std::size_t j = 0; j < 32; ++j)
    block.qs[j] = static_cast<std::int8_t>(d != 0 ? clamped_round(x[j] / d, -127, 127) : 0);
  append(out, block);
}

std::uint16_t jittered_half(Random& random, float d) {
  return float_to_half(d * random.uniform(0.8f, 1.2f));
}

template <std::size_t N>
void fill(std::uint8_t (&bytes)[N], Random& random) {
  for (std::uint8_t& b : bytes) b = random.byte();
}

// A 6-bit scale s of Q3_K and IQ4_XS, where s - 32 is used: of either sign, magnitude 16 to 31.
int signed_scale(Random& random) {
  const int magnitude = random.integer(16, 31);
  return 32 + (random.bits() & 1 ? magnitude : -magnitude);
}

// Root mean square of a table's values.
float rms(const CodeTable& table) {
  float sum = 0;
  for (const std::int8_t v : table.values) sum += static_cast<float>(v) * static_cast<float>(v);
  return std::sqrt(sum / 16);
}

// In the following, d * (mean scale) * (deviation of a uniform quant) = scale, and a minimum, where
// there is one, is the mean quant, so that the values' mean is near 0.

void make(BlockQ2_K& b, Random& random, float scale) {
  fill(b.qs, random);
  for (std::uint8_t& s : b.scales) {
    const int sc = random.integer(8, 15);
    s = static_cast<std::uint8_t>(sc | std::clamp(sc + random.integer(-1, 1), 0, 15) << 4);
  }
  const float d = scale / (11.5f * 1.118f);
  b.d = float_to_half(d);
  b.dmin = float_to_half(1.5f * d);
}

void make(BlockQ3_K& b, Random& random, float scale) {
  fill(b.qs, random);
  fill(b.hmask, random);
  for (unsigned k = 0; k < 16; ++k) {
    const int s = signed_scale(random);
    b.scales[k % 8] = static_cast<std::uint8_t>(b.scales[k % 8] | (s & 15) << (4 * (k / 8)));
    b.scales[8 + k % 4] = static_cast<std::uint8_t>(b.scales[8 + k % 4] | s >> 4 << (2 * (k / 4)));
  }
  b.d = jittered_half(random, scale / (23.5f * 2.345f));
}

// Scales 32 to 63 and minima near them, packed as Q4_K and Q5_K do.
void fill_scales_k4(std::uint8_t (&packed)[12], Random& random) {
  int sc[8], m[8];
  for (int k = 0; k < 8; ++k) {
    sc[k] = random.integer(32, 63);
    m[k] = std::clamp(sc[k] + random.integer(-3, 3), 0, 63);
  }
  for (int k = 0; k < 4; ++k) {
    packed[k] = static_cast<std::uint8_t>(sc[k] | sc[k + 4] >> 4 << 6);
    packed[k + 4] = static_cast<std::uint8_t>(m[k] | m[k + 4] >> 4 << 6);
    packed[k + 8] = static_cast<std::uint8_t>((sc[k + 4] & 15) | (m[k + 4] & 15) << 4);
  }
}

void make(BlockQ4_K& b, Random& random, float scale) {
  fill(b.qs, random);
  fill_scales_k4(b.scales, random);
  const float d = scale * random.uniform(0.8f, 1.2f) / (47.5f * 4.61f);
  b.d = float_to_half(d);
  b.dmin = float_to_half(7.5f * d);
}

void make(BlockQ5_K& b, Random& random, float scale) {
  fill(b.qs, random);
  fill(b.qh, random);
  fill_scales_k4(b.scales, random);
  const float d = scale * random.uniform(0.8f, 1.2f) / (47.5f * 9.23f);
  b.d = float_to_half(d);
  b.dmin = float_to_half(15.5f * d);
}

void make(BlockQ6_K& b, Random& random, float scale) {
  fill(b.ql, random);
  fill(b.qh, random);
  for (std::int8_t& s : b.scales) {
    const int magnitude = random.integer(64, 127);
    s = static_cast<std::int8_t>(random.bits() & 1 ? magnitude : -magnitude);
  }
  b.d = jittered_half(random, scale / (95.5f * 18.47f));
}

void make(BlockIQ4_NL& b, Random& random, float scale) {
  fill(b.qs, random);
  b.d = jittered_half(random, (random.bits() & 1 ? scale : -scale) / rms(kIq4Values));
}

void make(BlockIQ4_XS& b, Random& random, float scale) {
  fill(b.qs, random);
  for (unsigned k = 0; k < 8; ++k) {
    const int s = signed_scale(random);
    b.scales_l[k / 2] = static_cast<std::uint8_t>(b.scales_l[k / 2] | (s & 15) << (4 * (k % 2)));
    b.scales_h = static_cast<std::uint16_t>(b.scales_h | s >> 4 << (2 * k));
  }
  b.d = jittered_half(random, scale / (23.5f * rms(kIq4Values)));
}

// A power of two: the deviation is within a factor 1.42 of `scale`.
void make(BlockMXFP4& b, Random& random, float scale) {
  fill(b.qs, random);
  b.e = static_cast<std::uint8_t>(128 + std::lround(std::log2(scale / rms(kMxfp4Values))));
}

template <class Block>
std::vector<std::byte> random_blocks(std::int64_t n_blocks, float scale, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> out;
  out.reserve(static_cast<std::size_t>(n_blocks) * sizeof(Block));
  for (std::int64_t i = 0; i < n_blocks; ++i) {
    Block block{};
    make(block, random, scale);
    append(out, block);
  }
  return out;
}

}  // namespace

std::vector<std::byte> quantize(DType dtype, std::span<const float> values) {
  const auto block_elems = static_cast<std::size_t>(dtype_info(dtype).block_elems);
  HAIKUDA_CHECK(values.size() % block_elems == 0);
  std::vector<std::byte> out;
  out.reserve(row_bytes(dtype, static_cast<std::int64_t>(values.size())));
  for (std::size_t i = 0; i < values.size(); i += block_elems) {
    const auto block = values.subspan(i, block_elems);
    switch (dtype) {
      case DType::F32:
        append(out, block[0]);
        break;
      case DType::F16:
        append(out, float_to_half(block[0]));
        break;
      case DType::BF16:
        append(out, float_to_bf16(block[0]));
        break;
      case DType::Q4_0:
        quantize_block<BlockQ4_0>(out, block, 4);
        break;
      case DType::Q4_1:
        quantize_block<BlockQ4_1>(out, block, 4);
        break;
      case DType::Q5_0:
        quantize_block<BlockQ5_0>(out, block, 5);
        break;
      case DType::Q5_1:
        quantize_block<BlockQ5_1>(out, block, 5);
        break;
      case DType::Q8_0:
        quantize_q8_0(out, block);
        break;
      default:
        HAIKUDA_CHECK(false && "a type with a quantizer");
    }
  }
  return out;
}

std::vector<std::byte> random_weights(
    DType dtype, std::int64_t rows, std::int64_t cols, float scale, std::uint64_t seed) {
  const std::int64_t block_elems = dtype_info(dtype).block_elems;
  HAIKUDA_CHECK(cols % block_elems == 0);
  const std::int64_t n_blocks = rows * cols / block_elems;
  switch (dtype) {
    case DType::Q2_K:
      return random_blocks<BlockQ2_K>(n_blocks, scale, seed);
    case DType::Q3_K:
      return random_blocks<BlockQ3_K>(n_blocks, scale, seed);
    case DType::Q4_K:
      return random_blocks<BlockQ4_K>(n_blocks, scale, seed);
    case DType::Q5_K:
      return random_blocks<BlockQ5_K>(n_blocks, scale, seed);
    case DType::Q6_K:
      return random_blocks<BlockQ6_K>(n_blocks, scale, seed);
    case DType::IQ4_NL:
      return random_blocks<BlockIQ4_NL>(n_blocks, scale, seed);
    case DType::IQ4_XS:
      return random_blocks<BlockIQ4_XS>(n_blocks, scale, seed);
    case DType::MXFP4:
      return random_blocks<BlockMXFP4>(n_blocks, scale, seed);
    default:
      return quantize(dtype, random_normal(static_cast<std::size_t>(rows * cols), seed, scale));
  }
}

}  // namespace haikuda::test
