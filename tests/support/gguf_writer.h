// Writes GGUF files into memory: well-formed ones by typed setters, malformed ones by raw hooks.
// Not the program's: haikuda only reads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/dtype.h"
#include "gguf/metadata.h"

namespace haikuda::test {

// Little-endian values one after the other.
class ByteWriter {
 public:
  template <class T>
  requires std::is_arithmetic_v<T> ByteWriter& put(T value) {
    return put_bytes(std::as_bytes(std::span(&value, 1)));
  }
  ByteWriter& put(MetaType type) { return put(static_cast<std::uint32_t>(type)); }
  ByteWriter& put_bytes(std::span<const std::byte> bytes) {
    for (const std::byte b : bytes) bytes_.push_back(b);  // GCC 12 warns falsely of insert
    return *this;
  }
  ByteWriter& put_text(std::string_view text) { return put_bytes(std::as_bytes(std::span(text))); }
  // A u64 length and the bytes.
  ByteWriter& put_string(std::string_view text) {
    return put(static_cast<std::uint64_t>(text.size())).put_text(text);
  }
  ByteWriter& pad_to(std::size_t alignment) {
    while (bytes_.size() % alignment != 0) bytes_.push_back(std::byte{0});
    return *this;
  }
  std::size_t size() const { return bytes_.size(); }
  const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

template <class T>
constexpr MetaType meta_type_of() {
  if constexpr (std::is_same_v<T, bool>) return MetaType::boolean;
  if constexpr (std::is_same_v<T, float>) return MetaType::f32;
  if constexpr (std::is_same_v<T, double>) return MetaType::f64;
  if constexpr (sizeof(T) == 1) return std::is_signed_v<T> ? MetaType::i8 : MetaType::u8;
  if constexpr (sizeof(T) == 2) return std::is_signed_v<T> ? MetaType::i16 : MetaType::u16;
  if constexpr (sizeof(T) == 4) return std::is_signed_v<T> ? MetaType::i32 : MetaType::u32;
  return std::is_signed_v<T> ? MetaType::i64 : MetaType::u64;
}

// One entry of the tensor directory and its data. `dims` in GGUF's order: the contiguous one first.
struct RawTensor {
  std::string name;
  std::vector<std::uint64_t> dims;
  std::uint32_t type = 0;
  std::vector<std::byte> data;
  std::optional<std::uint64_t> offset = {};  // default: after the previous one's, aligned
  std::optional<std::uint32_t> n_dims = {};  // default: dims.size()
};

class GgufWriter {
 public:
  // What the file claims, where it is not what it holds.
  std::uint32_t version = 3;
  std::string magic = "GGUF";
  std::size_t alignment = 32;  // of the data; set("general.alignment", u32) too when it is not 32
  std::optional<std::uint64_t> n_tensors;
  std::optional<std::uint64_t> n_keys;
  bool pad_last_tensor = true;

  template <class T>
  requires std::is_arithmetic_v<T> GgufWriter& set(std::string_view key, T value) {
    begin_key(key).put(meta_type_of<T>()).put(value);
    return *this;
  }
  GgufWriter& set(std::string_view key, std::string_view value);
  template <class T>
  requires std::is_arithmetic_v<T> GgufWriter& set_array(std::string_view key,
                                                         const std::vector<T>& values) {
    ByteWriter& out = begin_array(key, meta_type_of<T>(), values.size());
    for (const T value : values) out.put(value);
    return *this;
  }
  GgufWriter& set_array(std::string_view key, const std::vector<std::string>& values);
  // Any type id and the bytes that follow it.
  GgufWriter& set_raw(std::string_view key, std::uint32_t type, std::span<const std::byte> value);
  // Bytes that count as one key and value.
  GgufWriter& add_raw_entry(std::span<const std::byte> entry);
  // Takes a key away; set() after it replaces the value.
  GgufWriter& erase(std::string_view key);

  // (rows, cols), or a vector of `cols` when rows is 0.
  GgufWriter& add_tensor(std::string name,
                         DType dtype,
                         std::int64_t rows,
                         std::int64_t cols,
                         std::vector<std::byte> data);
  GgufWriter& add_raw_tensor(RawTensor tensor);
  // One that was added, to be changed. Throws std::out_of_range.
  RawTensor& tensor(std::string_view name);
  GgufWriter& erase_tensor(std::string_view name);

  std::vector<std::byte> finish() const;
  // Bytes before the tensor data's padding: header, metadata and directory.
  std::size_t directory_bytes() const { return directory().size(); }

 private:
  ByteWriter& begin_key(std::string_view key);
  ByteWriter& begin_array(std::string_view key, MetaType type, std::size_t n);
  std::vector<std::uint64_t> offsets() const;
  ByteWriter directory() const;

  struct Entry {
    std::string key;  // empty for a raw one
    ByteWriter bytes;
  };
  std::vector<Entry> entries_;
  std::vector<RawTensor> tensors_;
};

// The bytes of floats.
std::vector<std::byte> bytes_of(std::span<const float> values);

}  // namespace haikuda::test
