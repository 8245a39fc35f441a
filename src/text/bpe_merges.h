// The merges of a BPE tokenizer: pair of token ids -> rank and merged token.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace haikuda {

// An open-addressing hash table, at most two thirds full.
class MergeTable {
 public:
  explicit MergeTable(std::size_t n_merges)
      : slots_(std::bit_ceil(n_merges + n_merges / 2 + 2)),
        shift_(64 - std::countr_zero(slots_.size())),
        merged_(n_merges, -1) {}

  std::size_t size() const { return size_; }

  // `rank` is below n_merges. The first merge of a pair stays.
  void insert(int left, int right, std::uint32_t rank, int merged) {
    Slot& slot = slots_[find_slot(pair_key(left, right))];
    if (slot.pair != kEmpty) return;
    slot = {pair_key(left, right), rank};
    merged_[rank] = merged;
    ++size_;
  }
  // Fetches from memory what insert() will look at first.
  void prefetch(int left, int right) const {
    __builtin_prefetch(&slots_[first_slot(pair_key(left, right))]);
  }
  // nullopt where the two do not merge; lower ranks merge first.
  std::optional<std::uint32_t> find(int left, int right) const {
    const Slot& slot = slots_[find_slot(pair_key(left, right))];
    return slot.pair == kEmpty ? std::nullopt : std::optional(slot.rank);
  }
  // The token that the merge of this rank makes.
  int merged(std::uint32_t rank) const { return merged_[rank]; }

 private:
  static constexpr std::uint64_t kEmpty = ~std::uint64_t{0};  // no pair: ids are not negative
  struct Slot {
    std::uint64_t pair = kEmpty;
    std::uint32_t rank = 0;
  };

  static std::uint64_t pair_key(int left, int right) {
    return std::uint64_t{static_cast<std::uint32_t>(left)} << 32 |
           static_cast<std::uint32_t>(right);
  }
  std::size_t first_slot(std::uint64_t pair) const {
    return (pair * 0x9e3779b97f4a7c15u) >> shift_;
  }
  std::size_t find_slot(std::uint64_t pair) const {
    std::size_t slot = first_slot(pair);
    while (slots_[slot].pair != pair && slots_[slot].pair != kEmpty)
      slot = (slot + 1) & (slots_.size() - 1);
    return slot;
  }

  std::vector<Slot> slots_;
  int shift_;                // keeps the upper bits of a product
  std::vector<int> merged_;  // of each rank
  std::size_t size_ = 0;
};

}  // namespace haikuda
