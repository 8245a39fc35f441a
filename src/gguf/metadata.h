// The key-value part of a GGUF file, copied into owned storage: nothing here points into the file.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace haikuda {

enum class MetaType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};
const char* meta_type_name(MetaType type);

// Many strings, 4 GiB at most. Copies share them until one of the copies is changed.
class StringArray {
 public:
  std::size_t size() const { return storage_->ends.size(); }
  std::string_view operator[](std::size_t i) const {
    const std::size_t begin = i == 0 ? 0 : storage_->ends[i - 1];
    return std::string_view(storage_->bytes).substr(begin, storage_->ends[i] - begin);
  }
  void reserve(std::size_t n_strings, std::size_t n_bytes);
  void push_back(std::string_view s);

 private:
  struct Storage {
    std::string bytes;
    std::vector<std::uint32_t> ends;
  };
  Storage& own();

  std::shared_ptr<Storage> storage_ = std::make_shared<Storage>();
};

// Integers are widened: unsigned types to uint64_t, signed ones to int64_t; floats to double.
struct MetaValue {
  MetaType type = MetaType::u8;
  MetaType elem_type = MetaType::u8;  // of an array
  std::variant<std::uint64_t,
               std::int64_t,
               double,
               bool,
               std::string,
               std::vector<std::uint64_t>,
               std::vector<std::int64_t>,
               std::vector<double>,
               std::vector<bool>,
               StringArray>
      value;
};

// Typed access. A key that is present with another type or out of range throws Error(model_file)
// naming the file, the key, what was expected and what was found.
class Metadata {
 public:
  explicit Metadata(std::string file_name = {}) : file_name_(std::move(file_name)) {}

  bool contains(std::string_view key) const { return find(key) != nullptr; }
  const MetaValue* find(std::string_view key) const;
  // Keys in the order of the file.
  const std::vector<std::string>& keys() const { return keys_; }
  const std::string& file_name() const { return file_name_; }

  // Any integer type; the value lies in [min, max].
  std::optional<std::int64_t> find_int(
      std::string_view key,
      std::int64_t min = 0,
      std::int64_t max = std::numeric_limits<std::int64_t>::max()) const;
  std::optional<double> find_float(std::string_view key) const;  // f32 or f64
  std::optional<bool> find_bool(std::string_view key) const;
  const std::string* find_string(std::string_view key) const;
  const StringArray* find_strings(std::string_view key) const;
  std::optional<std::vector<std::int64_t>> find_ints(
      std::string_view key) const;  // array of any integer type
  const std::vector<double>* find_floats(std::string_view key) const;

  // The same for keys that must be there.
  std::int64_t get_int(std::string_view key, std::int64_t min, std::int64_t max) const;
  double get_float(std::string_view key) const;
  const std::string& get_string(std::string_view key) const;
  const StringArray& get_strings(std::string_view key) const;

  // Throws Error(model_file) when the key is there already.
  void insert(std::string key, MetaValue value);
  // In place of what the file has, or more.
  void set(std::string key, MetaValue value);

  [[noreturn]] void fail(std::string_view key, const std::string& problem) const;

 private:
  [[noreturn]] void fail_missing(std::string_view key) const;
  [[noreturn]] void fail_type(std::string_view key,
                              const char* expected,
                              const MetaValue& got) const;

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::string file_name_;
  std::vector<std::string> keys_;
  std::unordered_map<std::string, MetaValue, Hash, std::equal_to<>> values_;
};

}  // namespace haikuda
