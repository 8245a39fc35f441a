// The merges of a BPE tokenizer. They stay texts until a pair is asked for: a prompt needs a few
// hundred of a vocabulary's 150000, and resolving all to ids would take most of the start-up.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf/metadata.h"
#include "text/text_index.h"
#include "text/vocabulary.h"

namespace haikuda {

struct Merge {
  std::uint32_t rank = 0;  // lower ones merge first
  int merged = -1;         // the token it makes; -1: the two do not merge
};

class BpeMerges {
 public:
  // `vocabulary` outlives this. Throws Error(model_file), see bpe.h.
  BpeMerges(const Vocabulary& vocabulary, const Metadata& metadata);

  // How two tokens that plain text may become merge. `text` is scratch memory.
  Merge find(int left, int right, std::string& text) const;

 private:
  bool is_usable(std::string_view merge) const;

  const Vocabulary& vocabulary_;
  StringArray texts_;  // "left right", by rank
  TextIndex index_;
};

// Those of one text, remembered: its pairs are few and come often.
class MergeCache {
 public:
  explicit MergeCache(const BpeMerges& merges) : merges_(merges) {}

  Merge find(int left, int right) {
    const std::uint64_t pair =
        std::uint64_t{static_cast<std::uint32_t>(left)} << 32 | static_cast<std::uint32_t>(right);
    Slot& slot = slots_[slot_of(pair)];
    return slot.pair == pair ? slot.merge : add(pair);
  }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // no pair: ids are not negative
  struct Slot {
    std::uint64_t pair = kEmpty;
    Merge merge;
  };

  // Where the pair is, or where it would be put.
  std::size_t slot_of(std::uint64_t pair) const {
    const int shift = 64 - std::countr_zero(slots_.size());  // keeps a product's upper bits
    std::size_t slot = (pair * 0x9e3779b97f4a7c15u) >> shift;
    while (slots_[slot].pair != pair && slots_[slot].pair != kEmpty)
      slot = (slot + 1) & (slots_.size() - 1);
    return slot;
  }
  Merge add(std::uint64_t pair);
  void grow();

  const BpeMerges& merges_;
  std::vector<Slot> slots_ = std::vector<Slot>(256);  // a power of two, at most half full
  std::size_t size_ = 0;
  std::string text_;
};

}  // namespace haikuda
