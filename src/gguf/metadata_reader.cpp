#include "gguf/metadata_reader.h"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "base/printable.h"

namespace haikuda {
namespace {

constexpr std::size_t kMaxKeyBytes = 65535;
constexpr std::size_t kMaxStringBytes = std::size_t{16} << 20;
constexpr std::size_t kMaxTokenBytes = std::size_t{64} << 10;  // a string inside an array
constexpr std::uint64_t kMaxArray = std::uint64_t{1} << 27;
constexpr std::uint64_t kElementBytes = 8;  // of an array in memory: numbers are widened

// What the metadata takes in memory, up to eight times its bytes in the file; asked before it is
// taken.
class Budget {
 public:
  // Neither wraps: `bytes` is at most kMaxArray * kElementBytes.
  void take(const Cursor& in, std::string_view key, std::uint64_t bytes) {
    if (bytes > left_)
      in.fail(fmt::format("key {}: the metadata needs more than {} MiB of memory", printable(key),
                          kMaxMetadataBytes >> 20));
    left_ -= bytes;
  }

 private:
  std::uint64_t left_ = kMaxMetadataBytes;
};

bool is_key_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         c == '.' || c == '-';
}

std::size_t scalar_bytes(MetaType type) {
  switch (type) {
    case MetaType::u8:
    case MetaType::i8:
    case MetaType::boolean:
      return 1;
    case MetaType::u16:
    case MetaType::i16:
      return 2;
    case MetaType::u32:
    case MetaType::i32:
    case MetaType::f32:
      return 4;
    case MetaType::u64:
    case MetaType::i64:
    case MetaType::f64:
      return 8;
    case MetaType::string:
      return 8;  // its length at least
    case MetaType::array:
      break;
  }
  return 0;
}

MetaType read_type(Cursor& in, std::string_view key) {
  const auto id = in.read<std::uint32_t>("a value type");
  if (id > static_cast<std::uint32_t>(MetaType::f64))
    in.fail(fmt::format("key {}: value type {} is unknown (0 to 12 are defined)", key,
                        static_cast<std::int32_t>(id)));
  return static_cast<MetaType>(id);
}

std::uint64_t read_unsigned(Cursor& in, MetaType type, std::string_view key) {
  switch (type) {
    case MetaType::u8:
      return in.read<std::uint8_t>(key);
    case MetaType::u16:
      return in.read<std::uint16_t>(key);
    case MetaType::u32:
      return in.read<std::uint32_t>(key);
    default:
      return in.read<std::uint64_t>(key);
  }
}

std::int64_t read_signed(Cursor& in, MetaType type, std::string_view key) {
  switch (type) {
    case MetaType::i8:
      return in.read<std::int8_t>(key);
    case MetaType::i16:
      return in.read<std::int16_t>(key);
    case MetaType::i32:
      return in.read<std::int32_t>(key);
    default:
      return in.read<std::int64_t>(key);
  }
}

double read_float(Cursor& in, MetaType type, std::string_view key) {
  return type == MetaType::f32 ? static_cast<double>(in.read<float>(key)) : in.read<double>(key);
}

bool read_bool(Cursor& in, std::string_view key) {
  const auto b = in.read<std::uint8_t>(key);
  if (b > 1) in.fail(fmt::format("key {}: a bool is 0 or 1, got {}", key, b));
  return b == 1;
}

// Calls read_one n times into a vector.
template <class T, class ReadOne>
std::vector<T> read_vector(std::uint64_t n, ReadOne read_one) {
  std::vector<T> out;
  out.reserve(static_cast<std::size_t>(n));
  for (std::uint64_t i = 0; i < n; ++i) out.push_back(read_one());
  return out;
}

// Twice, so that memory is taken once: there are megabytes of them.
StringArray read_strings(Cursor& in, std::string_view key, std::uint64_t n, Budget& budget) {
  const Cursor begin = in;
  std::size_t n_bytes = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::size_t size = in.read_string(kMaxTokenBytes, key).size();
    budget.take(in, key, size);
    n_bytes += size;
  }
  StringArray strings;
  strings.reserve(static_cast<std::size_t>(n), n_bytes);
  in = begin;
  for (std::uint64_t i = 0; i < n; ++i) strings.push_back(in.read_string(kMaxTokenBytes, key));
  return strings;
}

void read_array(Cursor& in, std::string_view key, Budget& budget, MetaValue& out) {
  const MetaType type = out.elem_type = read_type(in, key);
  const auto n = in.read<std::uint64_t>(key);
  if (type == MetaType::array) in.fail(fmt::format("key {}: nested arrays are not supported", key));
  if (n > in.remaining() / scalar_bytes(type) || n > kMaxArray)
    in.fail(fmt::format("key {}: array of {} {} exceeds the file", key, n, meta_type_name(type)));
  budget.take(in, key, n * kElementBytes);
  switch (type) {
    case MetaType::u8:
    case MetaType::u16:
    case MetaType::u32:
    case MetaType::u64:
      out.value = read_vector<std::uint64_t>(n, [&] { return read_unsigned(in, type, key); });
      break;
    case MetaType::i8:
    case MetaType::i16:
    case MetaType::i32:
    case MetaType::i64:
      out.value = read_vector<std::int64_t>(n, [&] { return read_signed(in, type, key); });
      break;
    case MetaType::f32:
    case MetaType::f64:
      out.value = read_vector<double>(n, [&] { return read_float(in, type, key); });
      break;
    case MetaType::boolean:
      out.value = read_vector<bool>(n, [&] { return read_bool(in, key); });
      break;
    default:
      out.value = read_strings(in, key, n, budget);
  }
}

MetaValue read_value(Cursor& in, std::string_view key, Budget& budget) {
  MetaValue out;
  out.type = read_type(in, key);
  switch (out.type) {
    case MetaType::u8:
    case MetaType::u16:
    case MetaType::u32:
    case MetaType::u64:
      out.value = read_unsigned(in, out.type, key);
      break;
    case MetaType::i8:
    case MetaType::i16:
    case MetaType::i32:
    case MetaType::i64:
      out.value = read_signed(in, out.type, key);
      break;
    case MetaType::f32:
    case MetaType::f64:
      out.value = read_float(in, out.type, key);
      break;
    case MetaType::boolean:
      out.value = read_bool(in, key);
      break;
    case MetaType::string: {
      const std::string_view text = in.read_string(kMaxStringBytes, key);
      budget.take(in, key, text.size());
      out.value = std::string(text);
      break;
    }
    case MetaType::array:
      read_array(in, key, budget, out);
      break;
  }
  return out;
}

}  // namespace

void read_metadata(Cursor& in, std::uint64_t n, Metadata& metadata) {
  Budget budget;
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::string_view raw = in.read_string(kMaxKeyBytes, "a key");
    if (raw.empty()) in.fail("empty key");
    if (!std::all_of(raw.begin(), raw.end(), is_key_char))
      in.fail(fmt::format("key \"{}\" has characters outside [0-9a-zA-Z_.-]", printable(raw)));
    budget.take(in, raw, 2 * (raw.size() + sizeof(std::string)) + sizeof(MetaValue));
    std::string key(raw);
    MetaValue value = read_value(in, printable(key), budget);
    metadata.insert(std::move(key), std::move(value));
  }
}

}  // namespace haikuda
