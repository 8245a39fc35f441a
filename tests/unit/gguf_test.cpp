// The GGUF parser: what is written comes back, what is malformed is refused by name.
#include <sys/mman.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "gguf/gguf_file.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/gguf_writer.h"
#include "support/malformed_gguf.h"
#include "support/random_blocks.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

// Writes one key, parses the file and returns the value.
template <class T>
MetaValue round_trip(const T& value, std::uint32_t version) {
  GgufWriter w;
  w.version = version;
  w.set("the.key", value);
  const std::vector<std::byte> bytes = w.finish();
  const GgufFile file = parse_gguf(bytes, "test.gguf");
  REQUIRE(file.version == version);
  REQUIRE(file.metadata.keys() == std::vector<std::string>{"the.key"});
  return *file.metadata.find("the.key");
}

template <class T>
MetaValue round_trip_array(const std::vector<T>& values, std::uint32_t version) {
  GgufWriter w;
  w.version = version;
  w.set_array("the.key", values);
  const std::vector<std::byte> bytes = w.finish();
  return *parse_gguf(bytes, "test.gguf").metadata.find("the.key");
}

// The extremes of T come back, widened to Wide, alone and in an array.
template <class T, class Wide>
void check_number(MetaType type, std::uint32_t version) {
  using Limits = std::numeric_limits<T>;
  const std::vector<T> values = {Limits::lowest(), T{0}, T{1}, Limits::max()};
  for (const T value : values) {
    const MetaValue got = round_trip(value, version);
    REQUIRE(got.type == type);
    REQUIRE(std::get<Wide>(got.value) == static_cast<Wide>(value));
  }
  const MetaValue got = round_trip_array(values, version);
  REQUIRE(got.type == MetaType::array);
  REQUIRE(got.elem_type == type);
  REQUIRE(std::get<std::vector<Wide>>(got.value) ==
          std::vector<Wide>(values.begin(), values.end()));
  REQUIRE(std::get<std::vector<Wide>>(round_trip_array(std::vector<T>{}, version).value).empty());
}

enum class Verdict { accepted, refused };

// Anything but success or an Error with a user's exit code fails the test by escaping.
Verdict parse_verdict(std::span<const std::byte> bytes) {
  try {
    const GgufFile file = parse_gguf(bytes, "changed.gguf");
    for (const TensorView& t : file.tensors) {
      const auto offset = static_cast<std::size_t>(t.data - bytes.data());
      if (offset > bytes.size() || t.bytes() > bytes.size() - offset)
        throw std::logic_error("tensor " + t.name + " lies outside the file");
    }
    return Verdict::accepted;
  } catch (const Error& error) {
    if (error.code() != ExitCode::model_file && error.code() != ExitCode::unsupported) throw;
    return Verdict::refused;
  }
}

}  // namespace

TEST_CASE("parse_gguf: every number type comes back, in versions 2 and 3", "[gguf]") {
  const std::uint32_t version = GENERATE(2u, 3u);
  check_number<std::uint8_t, std::uint64_t>(MetaType::u8, version);
  check_number<std::uint16_t, std::uint64_t>(MetaType::u16, version);
  check_number<std::uint32_t, std::uint64_t>(MetaType::u32, version);
  check_number<std::uint64_t, std::uint64_t>(MetaType::u64, version);
  check_number<std::int8_t, std::int64_t>(MetaType::i8, version);
  check_number<std::int16_t, std::int64_t>(MetaType::i16, version);
  check_number<std::int32_t, std::int64_t>(MetaType::i32, version);
  check_number<std::int64_t, std::int64_t>(MetaType::i64, version);
  check_number<float, double>(MetaType::f32, version);
  check_number<double, double>(MetaType::f64, version);
  REQUIRE(std::isnan(std::get<double>(round_trip(std::nanf(""), version).value)));
}

TEST_CASE("parse_gguf: bools and strings come back", "[gguf]") {
  const std::uint32_t version = GENERATE(2u, 3u);
  REQUIRE(std::get<bool>(round_trip(true, version).value));
  REQUIRE_FALSE(std::get<bool>(round_trip(false, version).value));
  const std::vector<bool> bools = {true, false, true};
  REQUIRE(std::get<std::vector<bool>>(round_trip_array(bools, version).value) == bools);
  for (const std::string& text :
       {std::string(), std::string("héllo"), std::string("a\0b", 3), std::string(100000, 'x')})
    REQUIRE(std::get<std::string>(round_trip(text, version).value) == text);
  const std::vector<std::string> texts = {"", "one", std::string("a\0b", 3), "\xff"};
  const MetaValue got = round_trip_array(texts, version);
  const auto& strings = std::get<StringArray>(got.value);
  REQUIRE(strings.size() == texts.size());
  for (std::size_t i = 0; i < texts.size(); ++i) REQUIRE(strings[i] == texts[i]);
}

TEST_CASE("parse_gguf: tensors of every type come back where they were written", "[gguf]") {
  for (const DTypeInfo& info : all_dtypes()) {
    CAPTURE(info.name);
    const std::vector<std::byte> first = random_weights(info.dtype, 3, 512, 1, 1);
    const std::vector<std::byte> second = random_weights(info.dtype, 1, 256, 1, 2);
    GgufWriter w;
    w.add_tensor("first", info.dtype, 3, 512, first)
        .add_tensor("second", info.dtype, 0, 256, second);
    const std::vector<std::byte> bytes = w.finish();
    const GgufFile file = parse_gguf(bytes, "test.gguf");
    REQUIRE(file.tensors.size() == 2);
    const TensorView& a = file.tensors[0];
    REQUIRE((a.name == "first" && a.dtype == info.dtype && a.rows == 3 && a.cols == 512));
    REQUIRE(std::equal(first.begin(), first.end(), a.data, a.data + a.bytes()));
    REQUIRE(a.data == bytes.data() + file.data_offset);
    const TensorView& b = file.tensors[1];
    REQUIRE((b.name == "second" && b.rows == 1 && b.cols == 256));
    REQUIRE(std::equal(second.begin(), second.end(), b.data, b.data + b.bytes()));
  }
}

TEST_CASE("parse_gguf: three and four dimensions are folded into rows", "[gguf]") {
  GgufWriter w;
  w.add_raw_tensor({"t",
                    {32, 3, 2, 2},
                    static_cast<std::uint32_t>(DType::Q8_0),
                    std::vector<std::byte>(12 * 34)});
  const std::vector<std::byte> bytes = w.finish();
  const GgufFile file = parse_gguf(bytes, "test.gguf");
  REQUIRE((file.tensors.at(0).cols == 32 && file.tensors[0].rows == 12));
}

TEST_CASE("parse_gguf: general.alignment from 1 to 1 MiB is respected", "[gguf]") {
  const std::uint32_t alignment = GENERATE(1u, 2u, 8u, 64u, 4096u, 1u << 20);
  GgufWriter w;
  w.alignment = alignment;
  w.set("general.alignment", alignment);
  w.add_tensor("a", DType::F32, 0, 3, random_weights(DType::F32, 1, 3, 1, 1));
  w.add_tensor("b", DType::F16, 0, 5, random_weights(DType::F16, 1, 5, 1, 2));
  const std::vector<std::byte> bytes = w.finish();
  const GgufFile file = parse_gguf(bytes, "test.gguf");
  REQUIRE(file.alignment == alignment);
  REQUIRE(file.data_offset % alignment == 0);
  REQUIRE((file.tensors[1].data - file.tensors[0].data) ==
          (12 + alignment - 1) / alignment * alignment);
}

TEST_CASE("parse_gguf: a malformed file is refused with its code and names the field",
          "[gguf][hostile]") {
  for (const GgufCase& c : malformed_gguf_cases()) {
    CAPTURE(c.name);
    if (!c.code) {
      REQUIRE_NOTHROW(parse_gguf(c.bytes, "bad.gguf"));
      continue;
    }
    const Error error = error_of([&] { parse_gguf(c.bytes, "bad.gguf"); });
    CAPTURE(error.what());
    REQUIRE(error.code() == *c.code);
    REQUIRE_THAT(error.what(), contains_text("bad.gguf: "));
    REQUIRE_THAT(error.what(), contains_text(c.message));
    REQUIRE(std::string(error.what()).find_first_of("\x1b\n") == std::string::npos);
  }
}

// A file of `head` and zeros up to `size`, which takes no memory for the zeros.
class SparseFile {
 public:
  SparseFile(std::span<const std::byte> head, std::size_t size)
      : size_(size),
        data_(static_cast<std::byte*>(::mmap(nullptr,
                                             size,
                                             PROT_READ | PROT_WRITE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                                             -1,
                                             0))) {
    REQUIRE(data_ != MAP_FAILED);
    std::copy(head.begin(), head.end(), data_);
  }
  ~SparseFile() { ::munmap(data_, size_); }
  SparseFile(const SparseFile&) = delete;
  SparseFile& operator=(const SparseFile&) = delete;
  std::span<const std::byte> bytes() const { return {data_, size_}; }

 private:
  std::size_t size_;
  std::byte* data_;
};

long peak_memory_kib() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST_CASE("parse_gguf: metadata that would take more than 512 MiB is refused before it is taken",
          "[gguf][hostile]") {
  const MetaType type = GENERATE(MetaType::u8, MetaType::i8, MetaType::i16, MetaType::f32);
  constexpr std::uint64_t n = (std::uint64_t{64} << 20) + 1;  // 8 bytes each in memory
  const ByteWriter array = ByteWriter().put_string("wide").put(MetaType::array).put(type).put(n);
  GgufWriter w = GgufWriter().set("general.architecture", "llama").add_raw_entry(array.bytes());
  const SparseFile file(w.finish(), 4 * n + 4096);
  const long before = peak_memory_kib();
  const Error error = error_of([&] { parse_gguf(file.bytes(), "wide.gguf"); });
  REQUIRE(error.code() == ExitCode::model_file);
  REQUIRE_THAT(error.what(),
               contains_text("key wide: the metadata needs more than 512 MiB of memory"));
  REQUIRE(peak_memory_kib() - before < 16 * 1024);
}

TEST_CASE("parse_gguf: the cap counts all keys together", "[gguf][hostile]") {
  // 40 arrays of 16 MiB in memory each, of which the file holds 2.
  GgufWriter w;
  for (int i = 0; i < 40; ++i)
    w.set_array("k" + std::to_string(i), std::vector<std::uint8_t>(std::size_t{2} << 20));
  const std::vector<std::byte> bytes = w.finish();
  const Error error = error_of([&] { parse_gguf(bytes, "many.gguf"); });
  REQUIRE_THAT(error.what(), contains_text("key k31: the metadata needs more than 512 MiB"));
}

TEST_CASE("parse_gguf: a missing or mistyped general.architecture is named", "[gguf]") {
  const auto architecture = [](const GgufWriter& w) {
    const std::vector<std::byte> bytes = w.finish();
    const GgufFile file = parse_gguf(bytes, "test.gguf");
    return error_of([&] { file.metadata.get_string("general.architecture"); });
  };
  REQUIRE_THAT(architecture(GgufWriter()).what(),
               contains_text("test.gguf: key general.architecture: missing"));
  REQUIRE_THAT(architecture(GgufWriter().set("general.architecture", std::uint32_t{1})).what(),
               contains_text("general.architecture: expected a string, got u32"));
}

TEST_CASE("parse_gguf: every prefix of a valid file parses or is refused", "[gguf][hostile]") {
  const GgufWriter w = sample_gguf();
  const std::vector<std::byte> bytes = w.finish();
  REQUIRE(bytes.size() > 2000);
  REQUIRE(parse_verdict(bytes) == Verdict::accepted);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    // An own allocation, so that a sanitizer sees a read past the end.
    const std::vector<std::byte> cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
    CAPTURE(n);
    const Verdict verdict = parse_verdict(cut);
    if (n < w.directory_bytes()) REQUIRE(verdict == Verdict::refused);
  }
  std::printf("prefixes of a valid file tried: %zu\n", bytes.size());
}

TEST_CASE("parse_gguf: every change of one byte before the data parses or is refused",
          "[gguf][hostile]") {
  const GgufWriter w = sample_gguf();
  std::vector<std::byte> bytes = w.finish();
  int n_refused = 0;
  for (std::size_t i = 0; i < w.directory_bytes(); ++i) {
    const std::byte original = bytes[i];
    for (int value = 0; value < 256; ++value) {
      bytes[i] = static_cast<std::byte>(value);
      n_refused += parse_verdict(bytes) == Verdict::refused;
    }
    bytes[i] = original;
  }
  REQUIRE(n_refused > 1000);
  std::printf("changes of one byte tried: %zu, refused %d\n", 256 * w.directory_bytes(), n_refused);
}

TEST_CASE("parse_gguf: reads the tiny models", "[gguf][support]") {
  const std::string architecture = GENERATE("qwen2", "llama", "qwen3");
  const std::vector<std::byte> bytes = make_tiny_model({.architecture = architecture});
  const GgufFile file = parse_gguf(bytes, "tiny.gguf");
  REQUIRE(file.metadata.get_string("general.architecture") == architecture);
  REQUIRE(file.metadata.get_strings("tokenizer.ggml.tokens").size() == tiny_tokens().size());
  const std::size_t per_layer = architecture == "qwen2" ? 12 : architecture == "qwen3" ? 11 : 9;
  REQUIRE(file.tensors.size() == 2 * per_layer + 2);
}

}  // namespace haikuda::test
