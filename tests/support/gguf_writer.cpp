#include "support/gguf_writer.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace haikuda::test {

ByteWriter& GgufWriter::begin_key(std::string_view key) {
  entries_.push_back({std::string(key), {}});
  return entries_.back().bytes.put_string(key);
}

ByteWriter& GgufWriter::begin_array(std::string_view key, MetaType type, std::size_t n) {
  return begin_key(key).put(MetaType::array).put(type).put(static_cast<std::uint64_t>(n));
}

GgufWriter& GgufWriter::erase(std::string_view key) {
  std::erase_if(entries_, [&](const Entry& e) { return e.key == key; });
  return *this;
}

GgufWriter& GgufWriter::set(std::string_view key, std::string_view value) {
  begin_key(key).put(MetaType::string).put_string(value);
  return *this;
}

GgufWriter& GgufWriter::set_array(std::string_view key, const std::vector<std::string>& values) {
  ByteWriter& out = begin_array(key, MetaType::string, values.size());
  for (const std::string& value : values) out.put_string(value);
  return *this;
}

GgufWriter& GgufWriter::set_raw(std::string_view key,
                                std::uint32_t type,
                                std::span<const std::byte> value) {
  begin_key(key).put(type).put_bytes(value);
  return *this;
}

GgufWriter& GgufWriter::add_raw_entry(std::span<const std::byte> entry) {
  entries_.emplace_back().bytes.put_bytes(entry);
  return *this;
}

GgufWriter& GgufWriter::add_tensor(std::string name,
                                   DType dtype,
                                   std::int64_t rows,
                                   std::int64_t cols,
                                   std::vector<std::byte> data) {
  std::vector<std::uint64_t> dims = {static_cast<std::uint64_t>(cols)};
  if (rows > 0) dims.push_back(static_cast<std::uint64_t>(rows));
  return add_raw_tensor(
      {std::move(name), std::move(dims), static_cast<std::uint32_t>(dtype), std::move(data)});
}

GgufWriter& GgufWriter::add_raw_tensor(RawTensor tensor) {
  tensors_.push_back(std::move(tensor));
  return *this;
}

RawTensor& GgufWriter::tensor(std::string_view name) {
  for (RawTensor& t : tensors_)
    if (t.name == name) return t;
  throw std::out_of_range(std::string(name));
}

GgufWriter& GgufWriter::erase_tensor(std::string_view name) {
  std::erase_if(tensors_, [&](const RawTensor& t) { return t.name == name; });
  return *this;
}

std::vector<std::uint64_t> GgufWriter::offsets() const {
  std::vector<std::uint64_t> out;
  std::uint64_t next = 0;
  for (const RawTensor& t : tensors_) {
    out.push_back(t.offset.value_or(next));
    next =
        (std::max<std::uint64_t>(next, t.offset ? 0 : out.back() + t.data.size()) + alignment - 1) /
        alignment * alignment;
  }
  return out;
}

ByteWriter GgufWriter::directory() const {
  ByteWriter out;
  out.put_text(magic)
      .put(version)
      .put(n_tensors.value_or(tensors_.size()))
      .put(n_keys.value_or(entries_.size()));
  for (const Entry& e : entries_) out.put_bytes(e.bytes.bytes());
  const std::vector<std::uint64_t> data_offsets = offsets();
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const RawTensor& t = tensors_[i];
    out.put_string(t.name).put(t.n_dims.value_or(static_cast<std::uint32_t>(t.dims.size())));
    for (const std::uint64_t dim : t.dims) out.put(dim);
    out.put(t.type).put(data_offsets[i]);
  }
  return out;
}

// Data is written where its offset says when that lies ahead, directly behind the previous
// otherwise.
std::vector<std::byte> GgufWriter::finish() const {
  ByteWriter out = directory();
  if (!tensors_.empty()) out.pad_to(alignment);
  const std::size_t data_begin = out.size();
  const std::vector<std::uint64_t> data_offsets = offsets();
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    constexpr std::uint64_t kFarthest = 1 << 20;  // a malformed offset is not followed
    while (out.size() - data_begin < data_offsets[i] && data_offsets[i] < kFarthest)
      out.put(std::uint8_t{0});
    out.put_bytes(tensors_[i].data);
    if (pad_last_tensor || i + 1 < tensors_.size()) out.pad_to(alignment);
  }
  return out.bytes();
}

std::vector<std::byte> bytes_of(std::span<const float> values) {
  const auto bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

}  // namespace haikuda::test
