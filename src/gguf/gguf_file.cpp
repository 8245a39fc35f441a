#include "gguf/gguf_file.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <unordered_set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "gguf/cursor.h"
#include "gguf/metadata_reader.h"

namespace haikuda {
namespace {

constexpr std::size_t kMaxNameBytes = 64;
constexpr std::uint64_t kMaxEntries = 65536;
constexpr std::uint64_t kMaxAlignment = std::uint64_t{1} << 20;
constexpr int kMaxDims = 4;
constexpr std::size_t kMinKeyValueBytes = 8 + 1 + 4 + 1;            // length, one letter, type, u8
constexpr std::size_t kMinTensorInfoBytes = 8 + 1 + 4 + 8 + 4 + 8;  // one letter, one dimension

// A product or sum that may not wrap.
std::optional<std::uint64_t> checked_mul(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}
std::optional<std::uint64_t> checked_add(std::uint64_t a, std::uint64_t b) {
  std::uint64_t out = 0;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

std::string guess_format(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 256));
  if (text.starts_with("version https://git-lfs"))
    return "it is a Git LFS pointer: fetch the real file with git lfs pull";
  if (text.starts_with("PK\x03\x04")) return "it looks like a ZIP or PyTorch file";
  if (text.starts_with("<!DOCTYPE") || text.starts_with("<html"))
    return "it looks like a web page: download it again";
  if (text.size() > 9 && text[8] == '{')
    return "it looks like a safetensors file: convert it to GGUF first";
  return fmt::format("it starts with \"{}\"", printable(text.substr(0, 4)));
}

void check_header(Cursor& in,
                  std::span<const std::byte> bytes,
                  const std::string& name,
                  std::uint32_t& version) {
  in.need(4, "the header");
  const char magic[] = {'G', 'G', 'U', 'F'};
  for (const char expected : magic)
    if (in.read<char>("the header") != expected)
      throw Error(ExitCode::model_file, fmt::format("{}: not a GGUF file (expected \"GGUF\"): {}",
                                                    printable(name), guess_format(bytes)));
  version = in.read<std::uint32_t>("the version");
  if (version != 0 && (version & 0xffffu) == 0)
    throw Error(ExitCode::unsupported,
                fmt::format("{}: big-endian GGUF is not supported", printable(name)));
  if (version == 0) in.fail("GGUF version 0 is invalid");
  if (version == 1)
    in.fail("GGUF version 1 is not supported (2 and 3 are); convert the model again");
  if (version > 3)
    in.fail(
        fmt::format("GGUF version {} is newer than this program (2 and 3 are supported)", version));
}

struct TensorInfo {
  std::string name;
  DType dtype{};
  std::int64_t rows = 0, cols = 0;
  std::uint64_t offset = 0, bytes = 0;
};

DType read_dtype(Cursor& in, const std::string& tensor, const std::string& file) {
  const auto id = in.read<std::uint32_t>("a tensor type");
  const auto dtype = dtype_from_id(id);
  if (dtype) return *dtype;
  std::string supported;
  for (const DTypeInfo& info : all_dtypes())
    supported += fmt::format("{}{}", supported.empty() ? "" : " ", info.name);
  throw Error(
      ExitCode::unsupported,
      fmt::format("{}: tensor {} has type {} (id {}), which is not supported (supported: {})",
                  printable(file), tensor, gguf_type_name(id), static_cast<std::int32_t>(id),
                  supported));
}

// Dimensions beyond the second are folded into the rows.
void read_shape(Cursor& in, TensorInfo& t, const std::string& file) {
  const auto n_dims = in.read<std::uint32_t>("a tensor's dimensions");
  if (n_dims < 1 || n_dims > kMaxDims)
    in.fail(
        fmt::format("tensor {}: expected 1 to {} dimensions, got {}", t.name, kMaxDims, n_dims));
  std::uint64_t dims[kMaxDims] = {1, 1, 1, 1};
  std::uint64_t n_elems = 1;
  for (std::uint32_t d = 0; d < n_dims; ++d) {
    dims[d] = in.read<std::uint64_t>("a tensor's dimensions");
    if (dims[d] == 0) in.fail(fmt::format("tensor {}: dimension {} is zero", t.name, d));
    const auto product = checked_mul(n_elems, dims[d]);
    if (!product || *product > (std::uint64_t{1} << 62))
      in.fail(fmt::format("tensor {}: its size overflows", t.name));
    n_elems = *product;
  }
  t.dtype = read_dtype(in, t.name, file);
  const DTypeInfo& info = dtype_info(t.dtype);
  if (dims[0] % static_cast<std::uint64_t>(info.block_elems) != 0)
    in.fail(fmt::format("tensor {}: row of {} elements is not a multiple of {}'s block of {}",
                        t.name, dims[0], info.name, info.block_elems));
  const auto bytes = checked_mul(n_elems / static_cast<std::uint64_t>(info.block_elems),
                                 static_cast<std::uint64_t>(info.block_bytes));
  if (!bytes) in.fail(fmt::format("tensor {}: its size in bytes overflows", t.name));
  t.bytes = *bytes;
  t.cols = static_cast<std::int64_t>(dims[0]);
  t.rows = static_cast<std::int64_t>(n_elems / dims[0]);
}

TensorInfo read_tensor_info(Cursor& in, const std::string& file) {
  TensorInfo t;
  t.name = in.read_string(kMaxNameBytes, "a tensor name");
  const bool printable_ascii =
      std::all_of(t.name.begin(), t.name.end(), [](char c) { return c > ' ' && c < 0x7f; });
  if (t.name.empty() || !printable_ascii)
    in.fail(fmt::format("bad tensor name \"{}\" (1 to {} printable ASCII characters)",
                        printable(t.name), kMaxNameBytes));
  read_shape(in, t, file);
  t.offset = in.read<std::uint64_t>("a tensor's offset");
  return t;
}

// Every tensor inside the data section, aligned, and no two sharing a byte.
void check_placement(Cursor& in,
                     const std::vector<TensorInfo>& infos,
                     std::size_t alignment,
                     std::uint64_t data_bytes) {
  std::vector<const TensorInfo*> by_offset;
  std::unordered_set<std::string_view> names;
  for (const TensorInfo& t : infos) {
    if (!names.insert(t.name).second) in.fail(fmt::format("duplicate tensor {}", t.name));
    if (t.offset % alignment != 0)
      in.fail(
          fmt::format("tensor {}: offset {} is not aligned to {}", t.name, t.offset, alignment));
    const auto end = checked_add(t.offset, t.bytes);
    if (!end || *end > data_bytes)
      in.fail(fmt::format(
          "tensor {}: its data (offset {}, {} bytes) lies outside the file ({} bytes of data); "
          "the file is truncated, download it again",
          t.name, t.offset, t.bytes, data_bytes));
    by_offset.push_back(&t);
  }
  std::sort(by_offset.begin(), by_offset.end(),
            [](auto* a, auto* b) { return a->offset < b->offset; });
  for (std::size_t i = 1; i < by_offset.size(); ++i)
    if (by_offset[i - 1]->offset + by_offset[i - 1]->bytes > by_offset[i]->offset)
      in.fail(fmt::format("tensors {} and {} overlap", by_offset[i - 1]->name, by_offset[i]->name));
}

std::size_t read_alignment(const Metadata& metadata) {
  const MetaValue* v = metadata.find("general.alignment");
  if (v == nullptr) return 32;
  const auto n = static_cast<std::uint64_t>(*metadata.find_int("general.alignment"));
  if (v->type != MetaType::u32)
    metadata.fail("general.alignment",
                  fmt::format("expected u32, got {}", meta_type_name(v->type)));
  if (!std::has_single_bit(n) || n > kMaxAlignment)
    metadata.fail("general.alignment",
                  fmt::format("expected a power of two up to {}, got {}", kMaxAlignment, n));
  return static_cast<std::size_t>(n);
}

}  // namespace

GgufFile parse_gguf(std::span<const std::byte> bytes, const std::string& name) {
  Cursor in(bytes, name);
  GgufFile file;
  file.metadata = Metadata(name);
  check_header(in, bytes, name, file.version);
  const auto n_tensors = in.read<std::uint64_t>("the tensor count");
  const auto n_keys = in.read<std::uint64_t>("the key count");
  if (n_keys > std::min<std::uint64_t>(kMaxEntries, in.remaining() / kMinKeyValueBytes))
    in.fail(fmt::format("{} keys exceed the file", n_keys));
  if (n_tensors > std::min<std::uint64_t>(kMaxEntries, in.remaining() / kMinTensorInfoBytes))
    in.fail(fmt::format("{} tensors exceed the file", n_tensors));
  read_metadata(in, n_keys, file.metadata);
  file.alignment = read_alignment(file.metadata);

  std::vector<TensorInfo> infos;
  infos.reserve(static_cast<std::size_t>(n_tensors));
  for (std::uint64_t i = 0; i < n_tensors; ++i) infos.push_back(read_tensor_info(in, name));

  const std::size_t padding = (file.alignment - in.position() % file.alignment) % file.alignment;
  if (n_tensors > 0) in.need(padding, "the padding before the tensor data");
  file.data_offset = in.position() + std::min(padding, in.remaining());
  check_placement(in, infos, file.alignment, bytes.size() - file.data_offset);
  for (TensorInfo& t : infos)
    file.tensors.push_back(
        {std::move(t.name), t.dtype, t.rows, t.cols, bytes.data() + file.data_offset + t.offset});
  return file;
}

}  // namespace haikuda
