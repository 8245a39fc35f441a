// A parsed GGUF file: owned metadata and a directory of tensors over the bytes it was given.
// Not an owner of those bytes: model_files.h is.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/tensor_view.h"
#include "gguf/metadata.h"

namespace haikuda {

struct GgufFile {
  std::uint32_t version = 0;
  std::size_t alignment = 32;
  std::size_t data_offset = 0;  // of the tensor data in the file
  Metadata metadata;
  std::vector<TensorView>
      tensors;  // in the order of the file; each lies inside the bytes, none overlap
};

// Parses GGUF version 2 or 3. `name` is used in messages. Every size, count and offset is checked
// against the bytes before use; what is wrong is an Error(model_file), or Error(unsupported) for a
// tensor type, version or byte order we do not read. Layout: ggml docs/gguf.md.
GgufFile parse_gguf(std::span<const std::byte> bytes, const std::string& name);

}  // namespace haikuda
