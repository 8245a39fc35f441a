// Any bytes as blocks of every type: a row is what its blocks are one by one.
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "fuzz_target.h"
#include "quant/dequantize.h"

namespace haikuda::fuzz {
namespace {

// NaNs are alike: which of two operands' payload survives is the compiler's choice.
bool is_same(float a, float b) {
  return (std::isnan(a) && std::isnan(b)) ||
         std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
}

void decode_both_ways(const DTypeInfo& type, Bytes bytes) {
  const std::size_t block_bytes = static_cast<std::size_t>(type.block_bytes),
                    n_blocks = bytes.size() / block_bytes;
  const std::size_t block_elems = static_cast<std::size_t>(type.block_elems);
  if (n_blocks == 0) return;  // no tensor is empty
  // As large as needed, so that a byte too many is seen.
  const std::vector<std::byte> src(
      bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n_blocks * block_bytes));
  std::vector<float> row(n_blocks * block_elems), block(block_elems);
  std::vector<std::byte> one(block_bytes);
  const std::string promise = std::string("a row of ") + type.name + " is its blocks";
  dequantize_row(type.dtype, src.data(), row.data(), static_cast<std::int64_t>(row.size()));
  for (std::size_t b = 0; b < n_blocks; ++b) {
    std::memcpy(one.data(), src.data() + b * block_bytes, block_bytes);
    dequantize_row(type.dtype, one.data(), block.data(), type.block_elems);
    for (std::size_t i = 0; i < block_elems; ++i)
      require(is_same(row[b * block_elems + i], block[i]), promise);
  }
}

}  // namespace

void fuzz_dequantize(Bytes bytes) {
  for (const DTypeInfo& type : all_dtypes()) decode_both_ways(type, bytes);
  if (bytes.size() < 2) return;
  for (const DTypeInfo& type : all_dtypes())
    decode_both_ways(type, bytes.subspan(1));  // another alignment
}

}  // namespace haikuda::fuzz
