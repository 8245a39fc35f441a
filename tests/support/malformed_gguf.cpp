#include "support/malformed_gguf.h"

#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "support/gguf_writer.h"
#include "support/random_blocks.h"

namespace haikuda::test {
namespace {

constexpr std::uint64_t kMax64 = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t k1 = 1;
constexpr std::uint32_t kF32 = 0, kI8 = 24;
constexpr ExitCode kBad = ExitCode::model_file;

std::vector<std::byte> bytes_of_text(std::string_view text) {
  return ByteWriter().put_text(text).bytes();
}

std::vector<std::byte> prefix(const std::vector<std::byte>& bytes, std::size_t n) {
  return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n)};
}

GgufWriter base() {
  GgufWriter w;
  w.set("general.architecture", "llama");
  return w;
}

std::vector<std::byte> zeros(std::size_t n) {
  return std::vector<std::byte>(n);
}

// A whole file of one tensor; 32 bytes of data.
std::vector<std::byte> with_tensor(RawTensor tensor) {
  if (tensor.data.empty()) tensor.data = zeros(32);
  return base().add_raw_tensor(std::move(tensor)).finish();
}

RawTensor vector8(std::string name) {
  return {std::move(name), {8}, kF32, zeros(32)};
}

// A file whose only key is these bytes.
std::vector<std::byte> with_entry(const ByteWriter& entry) {
  return GgufWriter().add_raw_entry(entry.bytes()).finish();
}

ByteWriter array_entry(MetaType elem, std::uint64_t n) {
  return ByteWriter().put_string("k").put(MetaType::array).put(elem).put(n);
}

using Cases = std::vector<GgufCase>;

void add_headers(Cases& cases) {
  const auto version = [](std::uint32_t v) {
    GgufWriter w = base();
    w.version = v;
    return w.finish();
  };
  GgufWriter fugg = base();
  fugg.magic = "FUGG";
  cases.push_back({"1 empty", {}, kBad, "truncated in the header"});
  cases.push_back({"2 GGU", bytes_of_text("GGU"), kBad, "truncated in the header"});
  cases.push_back({"2 GGUF", bytes_of_text("GGUF"), kBad, "truncated in the version"});
  cases.push_back({"3 23 bytes", prefix(base().finish(), 23), kBad, "truncated in the key count"});
  cases.push_back({"4 FUGG", fugg.finish(), kBad, "not a GGUF file"});
  cases.push_back({"4 ZIP", bytes_of_text("PK\x03\x04 and the rest of it"), kBad, "ZIP"});
  cases.push_back({"4 safetensors",
                   ByteWriter().put(std::uint64_t{99}).put_text("{\"a\": 1}").bytes(), kBad,
                   "safetensors"});
  cases.push_back({"4 HTML", bytes_of_text("<!DOCTYPE html><html>"), kBad, "web page"});
  cases.push_back({"4 LFS", bytes_of_text("version https://git-lfs.github.com/spec/v1\n"), kBad,
                   "git lfs pull"});
  cases.push_back({"5 version 0", version(0), kBad, "version 0"});
  cases.push_back({"6 version 1", version(1), kBad, "version 1"});
  cases.push_back({"7 version 4", version(4), kBad, "version 4 is newer"});
  cases.push_back({"8 big-endian 3", version(3u << 24), ExitCode::unsupported, "big-endian"});
}

void add_counts(Cases& cases) {
  const auto keys = [](std::uint64_t n) {
    GgufWriter w = base();
    w.n_keys = n;
    return w.finish();
  };
  const auto tensors = [](std::uint64_t n) {
    GgufWriter w = base();
    w.n_tensors = n;
    return w.finish();
  };
  cases.push_back(
      {"9 n_kv 2^64-1", keys(kMax64), kBad, "18446744073709551615 keys exceed the file"});
  cases.push_back({"10 n_kv 2^40", keys(k1 << 40), kBad, "1099511627776 keys exceed the file"});
  cases.push_back(
      {"11 n_tensors 2^40", tensors(k1 << 40), kBad, "1099511627776 tensors exceed the file"});
  cases.push_back({"11 n_tensors 2^64-1", tensors(kMax64), kBad, "tensors exceed the file"});
}

void add_keys(Cases& cases) {
  const auto long_key = [](std::uint64_t length) {
    return with_entry(ByteWriter().put(length).put_text(std::string(28, 'k')));
  };
  const auto key = [](std::string_view name) {
    return base().set(name, std::uint32_t{1}).finish();
  };
  cases.push_back({"12 key length 2^64-1", long_key(kMax64), kBad,
                   "a key: string of 18446744073709551615 bytes"});
  cases.push_back({"13 key length 2^30", long_key(k1 << 30), kBad,
                   "a key: string of 1073741824 bytes exceeds"});
  cases.push_back({"13 key of 65536", key(std::string(65536, 'k')), kBad, "at most 65535"});
  cases.push_back({"14 empty key", key(""), kBad, "empty key"});
  cases.push_back({"15 key with NUL", key(std::string_view("a\0b", 3)), kBad, "key \"a\\x00b\""});
  cases.push_back({"15 key with ESC", key("a\x1b[2J"), kBad, "key \"a\\x1b[2J\""});
  cases.push_back({"15 key with umlaut", key("sch\xc3\xb6n"), kBad, "characters outside"});
  cases.push_back({"16 duplicate key", key("general.architecture"), kBad,
                   "general.architecture: duplicate key"});
  for (const std::uint32_t type : {13u, 0xffffffffu, 0x80000000u})
    cases.push_back({fmt::format("17 type {}", type),
                     base().set_raw("some.key", type, zeros(16)).finish(), kBad,
                     fmt::format("key some.key: value type {}", static_cast<std::int32_t>(type))});
  cases.push_back({"18 bool 7",
                   base().set_raw("flag", 7, ByteWriter().put(std::uint8_t{7}).bytes()).finish(),
                   kBad, "key flag: a bool is 0 or 1, got 7"});
}

void add_arrays(Cases& cases) {
  ByteWriter nested = array_entry(MetaType::array, 1);
  ByteWriter deep = nested;
  for (int depth = 0; depth < 10000; ++depth) deep.put(MetaType::array).put(k1);
  nested.put(MetaType::u8).put(k1).put(std::uint8_t{1});
  cases.push_back({"19 array of array", with_entry(nested), kBad, "key k: nested arrays"});
  cases.push_back({"20 nested 10000 deep", with_entry(deep), kBad, "key k: nested arrays"});
  cases.push_back({"21 2^64-1 u32", with_entry(array_entry(MetaType::u32, kMax64)), kBad,
                   "key k: array of 18446744073709551615 u32 exceeds"});
  cases.push_back({"22 2^61 u64", with_entry(array_entry(MetaType::u64, k1 << 61)), kBad,
                   "u64 exceeds the file"});
  cases.push_back({"23 2^29 strings",
                   with_entry(array_entry(MetaType::string, k1 << 29).put_bytes(zeros(60))), kBad,
                   "string exceeds the file"});
  cases.push_back({"23 array type 13", with_entry(array_entry(static_cast<MetaType>(13), 1)), kBad,
                   "key k: value type 13"});
}

void add_alignments(Cases& cases) {
  const auto aligned = [](auto value) { return base().set("general.alignment", value).finish(); };
  cases.push_back({"24 alignment 0", aligned(std::uint32_t{0}), kBad,
                   "general.alignment: expected a power of two"});
  cases.push_back({"24 alignment 24", aligned(std::uint32_t{24}), kBad,
                   "general.alignment: expected a power of two"});
  cases.push_back({"25 alignment as i32", aligned(std::int32_t{32}), kBad,
                   "general.alignment: expected u32, got i32"});
  cases.push_back({"25 alignment as string", aligned("32"), kBad,
                   "general.alignment: expected an integer, got string"});
  cases.push_back({"26 alignment 2^31", aligned(std::uint32_t{1} << 31), kBad, "got 2147483648"});
}

void add_names_and_dims(Cases& cases) {
  cases.push_back({"27 name of 65", with_tensor(vector8(std::string(65, 'n'))), kBad,
                   "a tensor name: string of 65"});
  cases.push_back({"27 empty name", with_tensor(vector8("")), kBad, "bad tensor name \"\""});
  cases.push_back({"27 name with ESC", with_tensor(vector8("a\x1b[2J")), kBad,
                   "bad tensor name \"a\\x1b[2J\""});
  for (const std::uint32_t n : {0u, 5u, 0xffffffffu}) {
    RawTensor t = vector8("t");
    t.n_dims = n;
    cases.push_back({fmt::format("28 n_dims {}", n), with_tensor(t), kBad,
                     fmt::format("tensor t: expected 1 to 4 dimensions, got {}", n)});
  }
  const auto dims = [](std::vector<std::uint64_t> d, std::uint32_t type) {
    return with_tensor({"t", std::move(d), type, zeros(32)});
  };
  const auto dtype = [](DType d) { return static_cast<std::uint32_t>(d); };
  cases.push_back({"29 dim 0", dims({8, 0}, kF32), kBad, "tensor t: dimension 1 is zero"});
  cases.push_back({"30 dim 2^64-1", dims({kMax64}, kF32), kBad, "tensor t: its size overflows"});
  cases.push_back(
      {"31 2^32 x 2^32 I8", dims({k1 << 32, k1 << 32}, kI8), kBad, "tensor t: its size overflows"});
  cases.push_back({"31 2^32 x 2^32 F32", dims({k1 << 32, k1 << 32}, kF32), kBad,
                   "tensor t: its size overflows"});
  cases.push_back(
      {"32 2^63-1 x 2 I8", dims({(k1 << 63) - 1, 2}, kI8), kBad, "tensor t: its size overflows"});
  cases.push_back({"33 2^62-1 F32", dims({(k1 << 62) - 1}, kF32), kBad, "tensor t: its data"});
  cases.push_back({"34 Q4_0 row of 33", dims({33}, dtype(DType::Q4_0)), kBad,
                   "tensor t: row of 33 elements is not a multiple of Q4_0's block of 32"});
  cases.push_back(
      {"34 Q4_K row of 128", dims({128, 2}, dtype(DType::Q4_K)), kBad, "Q4_K's block of 256"});
  const std::pair<std::uint32_t, const char*> types[] = {
      {4, "Q4_2 (removed)"}, {31, "removed"},          {36, "removed"},
      {43, "unknown"},       {0x80000000u, "unknown"}, {0xffffffffu, "unknown (id -1)"}};
  for (const auto& [id, what] : types)
    cases.push_back({fmt::format("35/36 type {}", id), dims({8}, id), ExitCode::unsupported, what});
}

void add_placements(Cases& cases) {
  const auto at = [](std::uint64_t offset) {
    RawTensor t = vector8("second");
    t.offset = offset;
    return base().add_raw_tensor(vector8("first")).add_raw_tensor(t).finish();
  };
  const std::vector<std::byte> good = at(32);
  GgufWriter short_data = base();
  short_data.add_raw_tensor({"big", {64, 64}, kF32, zeros(4096)});
  GgufWriter unpadded = base();
  unpadded.add_raw_tensor({"t", {5}, kF32, zeros(20)});
  unpadded.pad_last_tensor = false;
  GgufWriter duplicate = base();
  duplicate.add_raw_tensor(vector8("same")).add_raw_tensor(vector8("same"));
  GgufWriter one = base();
  one.add_raw_tensor(vector8("tensor"));
  std::vector<std::byte> garbage = good;
  garbage.resize(good.size() + 100, std::byte{0x5a});
  cases.push_back({"37 offset 4", at(4), kBad, "tensor second: offset 4 is not aligned to 32"});
  cases.push_back({"38 offset 2^64-32", at(kMax64 - 31), kBad, "tensor second: its data"});
  cases.push_back({"39 gap", at(128), std::nullopt, ""});
  cases.push_back({"40 overlap", at(0), kBad, "overlap"});
  cases.push_back({"41 duplicate tensor", duplicate.finish(), kBad, "duplicate tensor same"});
  cases.push_back({"42 truncated data", short_data.finish(), kBad,
                   "tensor big: its data (offset 0, 16384 bytes)"});
  cases.push_back(
      {"42 one byte short", prefix(good, good.size() - 1), kBad, "tensor second: its data"});
  cases.push_back({"43 truncated directory", prefix(one.finish(), one.directory_bytes() - 9), kBad,
                   "truncated in a tensor type"});
  cases.push_back(
      {"44 no padding", prefix(one.finish(), one.directory_bytes()), kBad, "the padding"});
  cases.push_back({"45 trailing garbage", garbage, std::nullopt, ""});
  cases.push_back({"45 no tail padding", unpadded.finish(), std::nullopt, ""});
}

}  // namespace

GgufWriter sample_gguf() {
  GgufWriter w;
  w.set("general.architecture", "llama").set("general.alignment", std::uint32_t{32});
  w.set("a.flag", true)
      .set("a.float", 0.5f)
      .set("a.wide", std::int64_t{-5})
      .set("a.byte", std::uint8_t{9});
  w.set_array("a.strings", std::vector<std::string>{"one", "", "three"});
  w.set_array("a.floats", std::vector<double>{1, 2})
      .set_array("a.flags", std::vector<std::uint16_t>{1, 2, 3});
  w.add_tensor("token_embd.weight", DType::Q8_0, 8, 64, random_weights(DType::Q8_0, 8, 64, 1, 1));
  w.add_tensor("norm.weight", DType::F32, 0, 17, random_weights(DType::F32, 1, 17, 1, 2));
  w.add_tensor("blk.0.bias", DType::F32, 0, 256, random_weights(DType::F32, 1, 256, 1, 4));
  w.add_tensor("blk.0.w", DType::Q4_0, 2, 32, random_weights(DType::Q4_0, 2, 32, 1, 3));
  return w;
}

std::vector<GgufCase> malformed_gguf_cases() {
  Cases cases;
  add_headers(cases);
  add_counts(cases);
  add_keys(cases);
  add_arrays(cases);
  add_alignments(cases);
  add_names_and_dims(cases);
  add_placements(cases);
  return cases;
}

}  // namespace haikuda::test
