#include "text/bpe_merges.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace haikuda {
namespace {

constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";

// Where the two texts of a merge part: the first blank that is not its first character.
std::size_t find_blank(std::string_view merge) {
  return merge.find(' ', 1);
}

}  // namespace

BpeMerges::BpeMerges(const Vocabulary& vocabulary, const Metadata& metadata)
    : vocabulary_(vocabulary), texts_(metadata.get_strings(kMergesKey)), index_(texts_) {
  for (std::size_t i = 0; i < texts_.size(); ++i)
    if (is_usable(texts_[i])) return;
  if (texts_.size() > 0)
    metadata.fail(kMergesKey, "no merge joins two tokens of tokenizer.ggml.tokens");
}

bool BpeMerges::is_usable(std::string_view merge) const {
  const std::size_t blank = find_blank(merge);
  if (blank == std::string_view::npos) return false;
  const std::string_view left = merge.substr(0, blank), right = merge.substr(blank + 1);
  return vocabulary_.find_plain(left) && vocabulary_.find_plain(right) &&
         vocabulary_.find_plain(std::string(left).append(right));
}

Merge BpeMerges::find(int left, int right, std::string& text) const {
  const std::string_view left_text = vocabulary_.text(left);
  text.assign(left_text).append(1, ' ').append(vocabulary_.text(right));
  const auto rank = index_.find(texts_, text);
  if (!rank || find_blank(text) != left_text.size()) return {};
  text.erase(left_text.size(), 1);
  const std::optional<int> merged = vocabulary_.find_plain(text);
  return merged ? Merge{static_cast<std::uint32_t>(*rank), *merged} : Merge{};
}

Merge MergeCache::add(std::uint64_t pair) {
  const Merge merge = merges_.find(static_cast<int>(pair >> 32),
                                   static_cast<int>(static_cast<std::uint32_t>(pair)), text_);
  if (2 * ++size_ > slots_.size()) grow();
  slots_[slot_of(pair)] = {pair, merge};
  return merge;
}

void MergeCache::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  for (const Slot& slot : old)
    if (slot.pair != kEmpty) slots_[slot_of(slot.pair)] = slot;
}

}  // namespace haikuda
