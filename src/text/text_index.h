// Finds the strings of an array by their text. Not thread-safe while it is filled.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "gguf/metadata.h"

namespace haikuda {

// Open addressing, at most two thirds full. Holds neither the array nor its texts.
class TextIndex {
 public:
  // Indexes texts[0] to texts[size() - 1], without the empty ones. Of equal texts the first is
  // found; the first pair of them is `duplicate`. At most 2^31 texts.
  explicit TextIndex(const StringArray& texts);

  struct Duplicate {
    std::size_t first, again;
  };
  const std::optional<Duplicate>& duplicate() const { return duplicate_; }

  // `texts` is the array of the constructor, or a copy.
  std::optional<std::size_t> find(const StringArray& texts, std::string_view text) const;

 private:
  struct Slot {
    std::uint32_t hash = 0;
    std::int32_t i = -1;  // -1: empty
  };

  void add(const StringArray& texts, std::size_t i, std::uint32_t hash);
  std::size_t first_slot(std::uint32_t hash) const { return hash & (slots_.size() - 1); }

  std::vector<Slot> slots_;  // a power of two
  std::optional<Duplicate> duplicate_;
};

}  // namespace haikuda
