// The key-value part of a GGUF file: bytes that nobody has checked to owned, typed values.
#pragma once

#include <cstdint>

#include "gguf/cursor.h"
#include "gguf/metadata.h"

namespace haikuda {

constexpr std::uint64_t kMaxMetadataBytes = std::uint64_t{512} << 20;  // of all keys, in memory

// Reads `n` keys and their values, n <= 65536. Throws Error(model_file) with the key and the
// position of what is malformed, exceeds the bytes or kMaxMetadataBytes, or is there twice.
void read_metadata(Cursor& in, std::uint64_t n, Metadata& metadata);

}  // namespace haikuda
