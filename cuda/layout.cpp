#include "cuda/layout.h"

namespace haikuda::cuda {
namespace {

constexpr std::size_t kRowAlignment = 16;

constexpr std::size_t padded(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// Bytes of a row of each plane.
std::array<std::size_t, kMaxPlanes> plane_row_bytes(DType dtype, std::int64_t cols) {
  if (!is_repacked(dtype)) return {row_bytes(dtype, cols)};
  const auto n_blocks = static_cast<std::size_t>(cols / dtype_info(dtype).block_elems);
  std::array<std::size_t, kMaxPlanes> out{};
  for (std::size_t p = 0; p < out.size(); ++p)
    out[p] =
        padded(n_blocks * static_cast<std::size_t>(block_plane_bytes(dtype)[p]), kRowAlignment);
  return out;
}

}  // namespace

// kernels/repack.cu says what goes where.
std::array<int, kMaxPlanes> block_plane_bytes(DType dtype) {
  switch (dtype) {
    case DType::Q4_0:
    case DType::IQ4_NL:
      return {16, 2};  // nibbles, scale
    case DType::Q4_1:
      return {16, 4};  // nibbles, scale and minimum
    case DType::Q5_0:
      return {16, 2, 4};  // nibbles, scale, fifth bits
    case DType::Q5_1:
      return {16, 4, 4};  // nibbles, scale and minimum, fifth bits
    case DType::Q8_0:
      return {32, 2};  // quants, scale
    case DType::Q4_K:
      return {128, 16};  // nibbles, scales
    case DType::Q5_K:
      return {128, 16, 32};  // nibbles, scales, fifth bits
    case DType::Q6_K:
      return {128, 16, 64, 2};  // nibbles, scales of sub-blocks, upper two bits, scale
    default:
      return {};
  }
}

bool is_repacked(DType dtype) {
  return block_plane_bytes(dtype)[0] != 0;
}

std::size_t matrix_bytes(DType dtype, std::int64_t rows, std::int64_t cols) {
  std::size_t total = 0;
  for (const std::size_t bytes : plane_row_bytes(dtype, cols))
    total += bytes * static_cast<std::size_t>(rows);
  return total;
}

MatrixPlanes planes_of(const DeviceTensor& w) {
  MatrixPlanes out{};
  const auto bytes = plane_row_bytes(w.dtype, w.cols);
  std::size_t start = 0;
  for (std::size_t p = 0; p < kMaxPlanes && bytes[p] != 0; ++p) {
    out.data[p] = static_cast<const std::uint8_t*>(w.data) + start;
    out.row_bytes[p] = static_cast<std::int64_t>(bytes[p]);
    out.stride += out.row_bytes[p];
    start += bytes[p];
  }
  return out;
}

}  // namespace haikuda::cuda
