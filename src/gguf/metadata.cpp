#include "gguf/metadata.h"

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {

const char* meta_type_name(MetaType type) {
  switch (type) {
    case MetaType::u8:
      return "u8";
    case MetaType::i8:
      return "i8";
    case MetaType::u16:
      return "u16";
    case MetaType::i16:
      return "i16";
    case MetaType::u32:
      return "u32";
    case MetaType::i32:
      return "i32";
    case MetaType::f32:
      return "f32";
    case MetaType::boolean:
      return "bool";
    case MetaType::string:
      return "string";
    case MetaType::array:
      return "array";
    case MetaType::u64:
      return "u64";
    case MetaType::i64:
      return "i64";
    case MetaType::f64:
      return "f64";
  }
  return "unknown";
}

StringArray::Storage& StringArray::own() {
  if (storage_.use_count() > 1) storage_ = std::make_shared<Storage>(*storage_);
  return *storage_;
}

void StringArray::reserve(std::size_t n_strings, std::size_t n_bytes) {
  own().ends.reserve(n_strings);
  own().bytes.reserve(n_bytes);
}

void StringArray::push_back(std::string_view s) {
  Storage& storage = own();
  HAIKUDA_CHECK(s.size() <= std::numeric_limits<std::uint32_t>::max() - storage.bytes.size());
  storage.bytes += s;
  storage.ends.push_back(static_cast<std::uint32_t>(storage.bytes.size()));
}

const MetaValue* Metadata::find(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? nullptr : &it->second;
}

void Metadata::insert(std::string key, MetaValue value) {
  const auto [it, inserted] = values_.emplace(key, std::move(value));
  if (!inserted) fail(key, "duplicate key");
  keys_.push_back(std::move(key));
}

void Metadata::set(std::string key, MetaValue value) {
  const auto [it, inserted] = values_.insert_or_assign(key, std::move(value));
  if (inserted) keys_.push_back(std::move(key));
}

void Metadata::fail(std::string_view key, const std::string& problem) const {
  throw Error(ExitCode::model_file,
              fmt::format("{}: key {}: {}", printable(file_name_), printable(key), problem));
}

void Metadata::fail_missing(std::string_view key) const {
  fail(key, "missing; the file is incomplete or was written for another kind of model");
}

void Metadata::fail_type(std::string_view key, const char* expected, const MetaValue& got) const {
  const std::string found = got.type == MetaType::array
                                ? fmt::format("array of {}", meta_type_name(got.elem_type))
                                : std::string(meta_type_name(got.type));
  fail(key, fmt::format("expected {}, got {}", expected, found));
}

std::optional<std::int64_t> Metadata::find_int(std::string_view key,
                                               std::int64_t min,
                                               std::int64_t max) const {
  const MetaValue* v = find(key);
  if (v == nullptr) return std::nullopt;
  std::int64_t n = 0;
  if (const auto* u = std::get_if<std::uint64_t>(&v->value)) {
    if (*u > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      fail(key, fmt::format("expected at most {}, got {}", max, *u));
    n = static_cast<std::int64_t>(*u);
  } else if (const auto* i = std::get_if<std::int64_t>(&v->value)) {
    n = *i;
  } else {
    fail_type(key, "an integer", *v);
  }
  if (n < min || n > max) fail(key, fmt::format("expected {} to {}, got {}", min, max, n));
  return n;
}

std::optional<double> Metadata::find_float(std::string_view key) const {
  const MetaValue* v = find(key);
  if (v == nullptr) return std::nullopt;
  const auto* f = std::get_if<double>(&v->value);
  if (f == nullptr) fail_type(key, "a float", *v);
  return *f;
}

std::optional<bool> Metadata::find_bool(std::string_view key) const {
  const MetaValue* v = find(key);
  if (v == nullptr) return std::nullopt;
  const auto* b = std::get_if<bool>(&v->value);
  if (b == nullptr) fail_type(key, "a bool", *v);
  return *b;
}

const std::string* Metadata::find_string(std::string_view key) const {
  const MetaValue* v = find(key);
  if (v == nullptr) return nullptr;
  const auto* s = std::get_if<std::string>(&v->value);
  if (s == nullptr) fail_type(key, "a string", *v);
  return s;
}

const StringArray* Metadata::find_strings(std::string_view key) const {
  const MetaValue* v = find(key);
  if (v == nullptr) return nullptr;
  const auto* s = std::get_if<StringArray>(&v->value);
  if (s == nullptr) fail_type(key, "an array of strings", *v);
  return s;
}

std::optional<std::vector<std::int64_t>> Metadata::find_ints(std::string_view key) const {
  const MetaValue* v = find(key);
  if (v == nullptr) return std::nullopt;
  if (const auto* i = std::get_if<std::vector<std::int64_t>>(&v->value)) return *i;
  const auto* u = std::get_if<std::vector<std::uint64_t>>(&v->value);
  if (u == nullptr) fail_type(key, "an array of integers", *v);
  std::vector<std::int64_t> out;
  out.reserve(u->size());
  for (const std::uint64_t n : *u) {
    if (n > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      fail(key, fmt::format("element {} is {}, out of range", out.size(), n));
    out.push_back(static_cast<std::int64_t>(n));
  }
  return out;
}

const std::vector<double>* Metadata::find_floats(std::string_view key) const {
  const MetaValue* v = find(key);
  if (v == nullptr) return nullptr;
  const auto* f = std::get_if<std::vector<double>>(&v->value);
  if (f == nullptr) fail_type(key, "an array of floats", *v);
  return f;
}

std::int64_t Metadata::get_int(std::string_view key, std::int64_t min, std::int64_t max) const {
  const auto n = find_int(key, min, max);
  if (!n) fail_missing(key);
  return *n;
}

double Metadata::get_float(std::string_view key) const {
  const auto f = find_float(key);
  if (!f) fail_missing(key);
  return *f;
}

const std::string& Metadata::get_string(std::string_view key) const {
  const std::string* s = find_string(key);
  if (s == nullptr) fail_missing(key);
  return *s;
}

const StringArray& Metadata::get_strings(std::string_view key) const {
  const StringArray* s = find_strings(key);
  if (s == nullptr) fail_missing(key);
  return *s;
}

}  // namespace haikuda
