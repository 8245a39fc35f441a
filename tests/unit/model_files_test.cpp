// Split models: the shards of one are read together, and what does not fit together is refused by
// name.
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "base/error.h"
#include "gguf/model_files.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/gguf_writer.h"
#include "support/random_blocks.h"
#include "support/temp_dir.h"

namespace haikuda::test {
namespace {

std::string shard_name(int number, int count) {
  return fmt::format("model-{:05}-of-{:05}.gguf", number, count);
}

std::vector<std::byte> weights(std::uint64_t seed) {
  return random_weights(DType::F32, 2, 16, 1, seed);
}

GgufWriter unsplit(std::uint64_t seed) {
  GgufWriter w;
  w.set("general.architecture", "llama");
  w.add_tensor(fmt::format("t{}", seed), DType::F32, 2, 16, weights(seed));
  return w;
}

// Shard `index` (from 0) of three, with one tensor t<index>.
GgufWriter shard(int index, int count = 3) {
  GgufWriter w = unsplit(static_cast<std::uint64_t>(index));
  w.set("split.no", static_cast<std::uint16_t>(index))
      .set("split.count", static_cast<std::uint16_t>(count));
  return w.set("split.tensors.count", std::int32_t{3});
}

// Three shards on disk; a test replaces what it wants wrong before opening.
struct Split {
  TempDir dir;
  Split() {
    for (int i = 0; i < 3; ++i) replace(i, shard(i));
  }
  void replace(int index, const GgufWriter& w) const {
    dir.write(shard_name(index + 1, 3), w.finish());
  }
  std::string path(int number) const { return dir.file(shard_name(number, 3)); }
  Error error(int number = 1) const {
    Error e = error_of([&] { open_model_files(path(number)); });
    CAPTURE(e.what());
    REQUIRE(e.code() == ExitCode::model_file);
    return e;
  }
};

}  // namespace

TEST_CASE("open_model_files: a single file", "[model_files]") {
  const TempDir dir;
  const std::vector<std::byte> bytes = unsplit(5).finish();
  const ModelFiles files = open_model_files(dir.write("one.gguf", bytes));
  REQUIRE(files.maps.size() == 1);
  REQUIRE(files.total_bytes == bytes.size());
  REQUIRE(files.tensors.size() == 1);
  const std::vector<std::byte> want = weights(5);
  REQUIRE(std::equal(want.begin(), want.end(), files.tensors[0].data));
}

TEST_CASE("open_model_files: three shards open as one model", "[model_files]") {
  const Split split;
  const ModelFiles files = open_model_files(split.path(1));
  REQUIRE(files.maps.size() == 3);
  REQUIRE(files.name == split.path(1));
  REQUIRE(files.tensors.size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    REQUIRE(files.tensors[i].name == fmt::format("t{}", i));
    const std::vector<std::byte> want = weights(i);
    REQUIRE(std::equal(want.begin(), want.end(), files.tensors[i].data));
  }
}

TEST_CASE("open_model_files: shards may differ in alignment, the first may have no tensors",
          "[model_files]") {
  const Split split;
  GgufWriter first;
  first.set("general.architecture", "llama").set("split.no", std::uint16_t{0});
  first.set("split.count", std::uint16_t{3}).set("split.tensors.count", std::int32_t{2});
  split.replace(0, first);
  GgufWriter second = shard(1);
  second.alignment = 256;
  second.set("general.alignment", std::uint32_t{256});
  split.replace(1, second);
  REQUIRE(open_model_files(split.path(1)).tensors.size() == 2);
}

TEST_CASE("open_model_files: a missing shard is named", "[model_files]") {
  const Split split;
  std::filesystem::remove(split.path(2));
  REQUIRE_THAT(split.error().what(), contains_text(shard_name(2, 3)));
}

TEST_CASE("open_model_files: a shard that says it is another is refused", "[model_files]") {
  const Split split;
  split.replace(1, shard(2));
  const Error error = split.error();
  REQUIRE_THAT(error.what(), contains_text(shard_name(2, 3)));
  REQUIRE_THAT(error.what(), contains_text("key split.no: expected 1, got 2"));
}

TEST_CASE("open_model_files: shards that disagree about their number are refused",
          "[model_files]") {
  const Split split;
  split.replace(2, shard(2, 4));
  const Error error = split.error();
  REQUIRE_THAT(error.what(), contains_text(shard_name(3, 3)));
  REQUIRE_THAT(error.what(), contains_text("key split.count: expected 3, got 4"));
}

TEST_CASE("open_model_files: a count that contradicts the file name is refused", "[model_files]") {
  const Split split;
  split.replace(0, shard(0, 4));
  REQUIRE_THAT(split.error().what(), contains_text("key split.count: the model has 4 shards"));
}

TEST_CASE("open_model_files: a tensor in two shards is refused", "[model_files]") {
  const Split split;
  GgufWriter twice = shard(1);
  twice.add_tensor("t0", DType::F32, 2, 16, weights(9));
  split.replace(1, twice);
  const Error error = split.error();
  REQUIRE_THAT(error.what(), contains_text(shard_name(2, 3)));
  REQUIRE_THAT(error.what(), contains_text("tensor t0"));
}

TEST_CASE("open_model_files: a wrong total of tensors is refused", "[model_files]") {
  const Split split;
  GgufWriter first = unsplit(0);
  first.set("split.no", std::uint16_t{0}).set("split.count", std::uint16_t{3});
  first.set("split.tensors.count", std::int32_t{7});
  split.replace(0, first);
  REQUIRE_THAT(split.error().what(),
               contains_text("split.tensors.count: expected 7 tensors over all shards, got 3"));
}

TEST_CASE("open_model_files: split keys of another type or range are refused", "[model_files]") {
  const Split split;
  const auto first = [](auto no, auto count) {
    GgufWriter w = unsplit(0);
    return w.set("split.no", no).set("split.count", count);
  };
  split.replace(0, first("0", std::uint16_t{3}));
  REQUIRE_THAT(split.error().what(),
               contains_text("key split.no: expected an integer, got string"));
  split.replace(0, first(std::uint16_t{0}, "3"));
  REQUIRE_THAT(split.error().what(),
               contains_text("key split.count: expected an integer, got string"));
  split.replace(0, first(std::uint16_t{0}, std::uint16_t{60000}));
  REQUIRE_THAT(split.error().what(),
               contains_text("key split.count: expected 0 to 512, got 60000"));
  split.replace(0, first(std::int16_t{-1}, std::uint16_t{3}));
  REQUIRE_THAT(split.error().what(), contains_text("key split.no"));
}

TEST_CASE("open_model_files: opened at the second shard, the first is named", "[model_files]") {
  const Split split;
  REQUIRE_THAT(split.error(2).what(),
               contains_text("is shard 2 of 3; open the first one, " + split.path(1)));
}

TEST_CASE("open_model_files: a shard under another name is refused with the expected names",
          "[model_files]") {
  const TempDir dir;
  const std::string path = dir.write("renamed.gguf", shard(0).finish());
  REQUIRE_THAT(error_of([&] { open_model_files(path); }).what(),
               contains_text("NAME-00001-of-00003.gguf"));
}

TEST_CASE("open_model_files: what is no readable regular file is refused", "[model_files]") {
  const TempDir dir;
  const auto error = [](const std::string& path) {
    const Error e = error_of([&] { open_model_files(path); });
    REQUIRE(e.code() == ExitCode::model_file);
    REQUIRE_THAT(e.what(), contains_text(path));
    return std::string(e.what());
  };
  REQUIRE_THAT(error(dir.file("absent.gguf")), contains_text("No such file"));
  REQUIRE_THAT(error(dir.path().string()), contains_text("not a regular file"));
  REQUIRE_THAT(error("/dev/zero"), contains_text("not a regular file"));
  REQUIRE_THAT(error(dir.write("empty.gguf", "")), contains_text("empty"));
  const std::string fifo = dir.file("fifo.gguf");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  REQUIRE_THAT(error(fifo), contains_text("not a regular file"));
  const std::string loop = dir.file("loop.gguf");
  REQUIRE(::symlink(loop.c_str(), loop.c_str()) == 0);
  REQUIRE_THAT(error(loop), contains_text("symbolic links"));
}

TEST_CASE("open_model_bytes: tensors view the caller's bytes", "[model_files]") {
  const std::vector<std::byte> bytes = unsplit(1).finish();
  const ModelFiles files = open_model_bytes(bytes, "memory");
  REQUIRE(files.maps.empty());
  REQUIRE(files.total_bytes == bytes.size());
  REQUIRE(files.metadata.get_string("general.architecture") == "llama");
  REQUIRE(files.tensors.at(0).data > bytes.data());
  REQUIRE(files.tensors[0].data < bytes.data() + bytes.size());
}

}  // namespace haikuda::test
