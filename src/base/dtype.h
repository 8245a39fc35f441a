// The element types of GGUF tensors: identity, name and block size. How a block is decoded is
// quant/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace haikuda {

// Values are the type ids of a GGUF file.
enum class DType : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  IQ4_NL = 20,
  IQ4_XS = 23,
  BF16 = 30,
  MXFP4 = 39,
};

struct DTypeInfo {
  DType dtype;
  const char* name;
  int block_elems;  // elements a block
  int block_bytes;  // bytes a block
};

// Every supported type, in order of id.
std::span<const DTypeInfo> all_dtypes();
const DTypeInfo& dtype_info(DType dtype);
inline const char* dtype_name(DType dtype) {
  return dtype_info(dtype).name;
}

// nullopt for an id that is unknown or not supported.
std::optional<DType> dtype_from_id(std::uint32_t id);
// The name of any id GGUF ever assigned, "unknown" otherwise; for messages.
std::string_view gguf_type_name(std::uint32_t id);

// Bytes of `n_elems` contiguous elements. n_elems is a multiple of block_elems.
inline std::size_t row_bytes(DType dtype, std::int64_t n_elems) {
  const DTypeInfo& info = dtype_info(dtype);
  return static_cast<std::size_t>(n_elems / info.block_elems) *
         static_cast<std::size_t>(info.block_bytes);
}

}  // namespace haikuda
