// One model on disk: a GGUF file, or the shards NAME-00001-of-0000N.gguf of one.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/mapped_file.h"
#include "gguf/gguf_file.h"

namespace haikuda {

// Owns the maps that the tensors point into.
struct ModelFiles {
  std::vector<MappedFile> maps;                     // empty for a model in memory
  Metadata metadata;                                // of the first shard
  std::vector<TensorView> tensors;                  // of all shards
  std::vector<std::span<const std::byte>> headers;  // of each shard: what its tensor data follows
  std::string name;                                 // path of the first shard, for messages
  std::size_t total_bytes = 0;
};

// Opens `path` and, where it is the first shard of several, its siblings. Throws Error(model_file)
// naming the shard that is missing or inconsistent.
ModelFiles open_model_files(const std::string& path);
// Throws Error(model_file) when one of the files was written to since it was opened.
void check_unchanged(const ModelFiles& files);
// Copies bytes of a tensor, by reading where they lie in a file: MappedFile::read().
void read_bytes(const ModelFiles& files, std::span<const std::byte> from, std::byte* to);
// A model that lies in memory, which outlives the result.
ModelFiles open_model_bytes(std::span<const std::byte> bytes, const std::string& name);

// The SHA-256 of all headers in turn, in hexadecimal digits: tells models apart without reading
// their weights.
std::string header_sha256(const ModelFiles& files);

}  // namespace haikuda
