#include "gguf/model_files.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <functional>
#include <unordered_set>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "base/sha256.h"

namespace haikuda {
namespace {

constexpr std::int64_t kMaxShards = 512;

// The parts of NAME-00001-of-00003.gguf.
struct ShardName {
  std::string prefix;
  int number = 0;  // from 1
  int count = 0;
};

std::optional<int> parse_digits(std::string_view s) {
  int n = 0;
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (error != std::errc{} || end != s.data() + s.size()) return std::nullopt;
  return n;
}

std::optional<ShardName> parse_shard_name(std::string_view path) {
  constexpr std::string_view pattern = "-00001-of-00003.gguf";
  if (path.size() < pattern.size()) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - pattern.size());
  if (tail[0] != '-' || tail.substr(6, 4) != "-of-" || tail.substr(15) != ".gguf")
    return std::nullopt;
  const auto number = parse_digits(tail.substr(1, 5));
  const auto count = parse_digits(tail.substr(10, 5));
  if (!number || !count) return std::nullopt;
  return ShardName{std::string(path.substr(0, path.size() - pattern.size())), *number, *count};
}

std::string shard_path(const ShardName& name, int number) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", name.prefix, number, name.count);
}

void check_shard(const Metadata& metadata, std::int64_t index, std::int64_t count) {
  const auto no = metadata.get_int("split.no", 0, kMaxShards);
  const auto n = metadata.get_int("split.count", 1, kMaxShards);
  if (no != index) metadata.fail("split.no", fmt::format("expected {}, got {}", index, no));
  if (n != count) metadata.fail("split.count", fmt::format("expected {}, got {}", count, n));
}

void add_tensors(ModelFiles& files,
                 std::vector<TensorView>&& tensors,
                 const std::string& shard,
                 std::unordered_set<std::string>& names) {
  for (TensorView& t : tensors) {
    if (!names.insert(t.name).second)
      throw Error(ExitCode::model_file, fmt::format("{}: tensor {} is in an earlier shard too",
                                                    printable(shard), t.name));
    files.tensors.push_back(std::move(t));
  }
}

GgufFile parse_file(ModelFiles& files, std::span<const std::byte> bytes, const std::string& name) {
  GgufFile file = parse_gguf(bytes, name);
  files.total_bytes += bytes.size();
  files.headers.push_back(bytes.first(std::min(file.data_offset, bytes.size())));
  return file;
}

}  // namespace

ModelFiles open_model_files(const std::string& path) {
  ModelFiles files;
  files.name = path;
  std::unordered_set<std::string> names;
  const auto add_file = [&](const std::string& shard) {
    files.maps.emplace_back(shard);
    return parse_file(files, files.maps.back().bytes(), shard);
  };
  GgufFile first = add_file(path);
  const auto count = first.metadata.find_int("split.count", 0, kMaxShards).value_or(1);
  files.metadata = std::move(first.metadata);
  add_tensors(files, std::move(first.tensors), path, names);
  if (count <= 1) return files;

  const auto name = parse_shard_name(path);
  if (!name || name->count != count)
    files.metadata.fail("split.count",
                        fmt::format("the model has {} shards, so its files are named "
                                    "NAME-00001-of-{:05}.gguf",
                                    count, count));
  if (name->number != 1)
    throw Error(ExitCode::model_file,
                fmt::format("{}: is shard {} of {}; open the first one, {}", printable(path),
                            name->number, count, printable(shard_path(*name, 1))));
  check_shard(files.metadata, 0, count);
  for (int i = 1; i < count; ++i) {
    GgufFile shard = add_file(shard_path(*name, i + 1));
    check_shard(shard.metadata, i, count);
    add_tensors(files, std::move(shard.tensors), shard.metadata.file_name(), names);
  }
  const auto n_tensors = files.metadata.find_int("split.tensors.count");
  if (n_tensors && *n_tensors != static_cast<std::int64_t>(files.tensors.size()))
    files.metadata.fail("split.tensors.count",
                        fmt::format("expected {} tensors over all shards, got {}", *n_tensors,
                                    files.tensors.size()));
  return files;
}

void check_unchanged(const ModelFiles& files) {
  for (const MappedFile& map : files.maps) map.check_unchanged();
}

void read_bytes(const ModelFiles& files, std::span<const std::byte> from, std::byte* to) {
  for (const MappedFile& map : files.maps) {
    const std::span<const std::byte> all = map.bytes();
    if (std::less<>{}(from.data(), all.data()) ||
        !std::less<>{}(from.data(), all.data() + all.size()))
      continue;
    const auto offset = static_cast<std::size_t>(from.data() - all.data());
    HAIKUDA_CHECK(from.size() <= all.size() - offset);
    return map.read({to, from.size()}, offset);
  }
  std::memcpy(to, from.data(), from.size());
}

ModelFiles open_model_bytes(std::span<const std::byte> bytes, const std::string& name) {
  ModelFiles files;
  GgufFile file = parse_file(files, bytes, name);
  files.metadata = std::move(file.metadata);
  files.tensors = std::move(file.tensors);
  files.name = name;
  return files;
}

std::string header_sha256(const ModelFiles& files) {
  Sha256 sha;
  for (const auto header : files.headers) sha.add(header);
  return sha.finish();
}

}  // namespace haikuda
