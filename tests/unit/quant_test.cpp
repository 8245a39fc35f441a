// dequantize_row against blocks decoded by the gguf package: tests/golden/quant/README.md.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "quant/blocks.h"
#include "quant/dequantize.h"
#include "support/catch.h"
#include "support/nmse.h"
#include "support/random.h"
#include "support/random_blocks.h"

namespace haikuda::test {
namespace {

std::vector<std::byte> read_golden(const std::string& file_name) {
  const std::string path = std::string(HAIKUDA_TEST_DIR) + "/golden/quant/" + file_name;
  std::ifstream in(path, std::ios::binary);
  INFO("golden file " << path << " (scripts/make_quant_goldens.py)");
  REQUIRE(in);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// FNV-1a over the 32-bit words, a NaN counting as 0x7fc00000.
std::uint64_t hash_of(std::span<const float> values) {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const float v : values) {
    const std::uint32_t word = std::isnan(v) ? 0x7fc00000u : std::bit_cast<std::uint32_t>(v);
    h = (h ^ word) * 0x100000001b3u;
  }
  return h;
}

std::vector<float> decoded(DType dtype, const std::byte* src, std::int64_t n) {
  std::vector<float> out(static_cast<std::size_t>(n), std::numeric_limits<float>::quiet_NaN());
  dequantize_row(dtype, src, out.data(), n);
  return out;
}

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

double deviation(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum / static_cast<double>(values.size()));
}

bool has_quantizer(DType dtype) {
  switch (dtype) {
    case DType::F32:
    case DType::F16:
    case DType::BF16:
    case DType::Q4_0:
    case DType::Q4_1:
    case DType::Q5_0:
    case DType::Q5_1:
    case DType::Q8_0:
      return true;
    default:
      return false;
  }
}

}  // namespace

TEST_CASE("dequantize_row: every type decodes bit for bit as the gguf package", "[quant]") {
  for (const DTypeInfo& info : all_dtypes()) {
    CAPTURE(info.name);
    const std::vector<std::byte> blocks = read_golden(std::string(info.name) + ".blocks");
    const std::vector<std::byte> hashes = read_golden(std::string(info.name) + ".hash");
    const std::int64_t chunk_elems = std::max(info.block_elems, 32);
    const std::size_t chunk_bytes = row_bytes(info.dtype, chunk_elems);
    const std::size_t n_chunks = hashes.size() / sizeof(std::uint64_t);
    REQUIRE(n_chunks >= 64);
    REQUIRE(blocks.size() == n_chunks * chunk_bytes);
    for (std::size_t i = 0; i < n_chunks; ++i) {
      std::uint64_t want = 0;
      std::memcpy(&want, hashes.data() + i * sizeof want, sizeof want);
      CAPTURE(i);
      REQUIRE(hash_of(decoded(info.dtype, blocks.data() + i * chunk_bytes, chunk_elems)) == want);
    }
  }
}

TEST_CASE("dequantize_row: a row decodes like its blocks one by one, at any address", "[quant]") {
  for (const DTypeInfo& info : all_dtypes()) {
    CAPTURE(info.name);
    const std::int64_t n = 1536;
    const std::vector<std::byte> row = random_weights(info.dtype, 1, n, 1, 7);
    REQUIRE(row.size() == row_bytes(info.dtype, n));
    const std::vector<float> want = decoded(info.dtype, row.data(), n);
    std::vector<float> by_block;
    for (std::int64_t i = 0; i < n; i += info.block_elems) {
      const std::vector<float> block =
          decoded(info.dtype, row.data() + row_bytes(info.dtype, i), info.block_elems);
      by_block.insert(by_block.end(), block.begin(), block.end());
    }
    REQUIRE(same_bits(by_block, want));
    for (std::size_t shift = 1; shift < 8; ++shift) {
      CAPTURE(shift);
      std::vector<std::byte> moved(shift + row.size());
      std::copy(row.begin(), row.end(), moved.begin() + static_cast<std::ptrdiff_t>(shift));
      REQUIRE(same_bits(decoded(info.dtype, moved.data() + shift, n), want));
    }
  }
}

TEST_CASE("dequantize_row: writes n elements and no more", "[quant]") {
  for (const DTypeInfo& info : all_dtypes()) {
    CAPTURE(info.name);
    const std::int64_t n = std::max(info.block_elems, 3);
    const std::vector<std::byte> row = random_weights(info.dtype, 1, 3 * info.block_elems, 1, 3);
    std::vector<float> out(static_cast<std::size_t>(n) + 64, 12345.0f);
    dequantize_row(info.dtype, row.data(), out.data(), n);
    REQUIRE(std::all_of(out.begin() + n, out.end(), [](float v) { return v == 12345.0f; }));
    dequantize_row(info.dtype, row.data(), out.data() + 64, 0);
    REQUIRE(out[64 + static_cast<std::size_t>(n) - 1] == 12345.0f);
  }
}

TEST_CASE("MXFP4: the exponent 255 is 2^127 and 0 is subnormal", "[quant]") {
  BlockMXFP4 block{};
  block.qs[0] = 2;  // value 2 of the doubled table: 1
  const auto* bytes = reinterpret_cast<const std::byte*>(&block);
  block.e = 255;
  REQUIRE(decoded(DType::MXFP4, bytes, 32)[0] == std::numeric_limits<float>::infinity());
  block.e = 254;
  REQUIRE(decoded(DType::MXFP4, bytes, 32)[0] == 0x1p127f);
  block.e = 127;
  REQUIRE(decoded(DType::MXFP4, bytes, 32)[0] == 1.0f);
  block.e = 0;
  REQUIRE(decoded(DType::MXFP4, bytes, 32)[0] == 0x1p-127f);
}

TEST_CASE("random_weights: has the deviation asked for in every type", "[quant][support]") {
  const float scale = GENERATE(0.02f, 1.0f);
  for (const DTypeInfo& info : all_dtypes()) {
    CAPTURE(info.name, scale);
    const std::vector<std::byte> bytes = random_weights(info.dtype, 16, 1024, scale, 11);
    const std::vector<float> values = decoded(info.dtype, bytes.data(), 16 * 1024);
    const double relative = deviation(values) / static_cast<double>(scale);
    const double slack = info.dtype == DType::MXFP4 ? 1.42 : 1.15;
    REQUIRE(relative > 1 / slack);
    REQUIRE(relative < slack);
    REQUIRE(bytes != random_weights(info.dtype, 16, 1024, scale, 12));
  }
}

TEST_CASE("quantize: decodes near what was quantized", "[quant][support]") {
  const std::vector<float> values = random_normal(4096, 5);
  for (const DTypeInfo& info : all_dtypes()) {
    if (!has_quantizer(info.dtype)) continue;
    CAPTURE(info.name);
    const std::vector<std::byte> bytes = quantize(info.dtype, values);
    const double bound = info.block_elems == 1 ? 1e-5 : info.dtype == DType::Q8_0 ? 1e-4 : 1e-2;
    REQUIRE_THAT(decoded(info.dtype, bytes.data(), 4096), NmseBelow(values, bound));
  }
}

}  // namespace haikuda::test
