#include "text/text_index.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

namespace haikuda {
namespace {

template <class Word>
std::uint64_t load(const char* from) {
  Word word;
  std::memcpy(&word, from, sizeof word);
  return word;
}

// The last bytes of a text as one number, without a loop: words that overlap.
std::uint64_t load_tail(std::string_view text) {
  const char* begin = text.data();
  const char* end = begin + text.size();
  if (text.size() >= 8) return load<std::uint64_t>(end - 8);
  if (text.size() >= 4) return load<std::uint32_t>(begin) << 32 | load<std::uint32_t>(end - 4);
  if (text.size() >= 2) return load<std::uint16_t>(begin) << 16 | load<std::uint16_t>(end - 2);
  return text.empty() ? 0 : load<std::uint8_t>(begin);
}

std::uint32_t hash_text(std::string_view text) {
  constexpr std::uint64_t kMultiplier = 0x9e3779b97f4a7c15u;
  std::uint64_t hash = text.size();
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * kMultiplier;
    hash ^= hash >> 32;
  };
  for (; text.size() > 8; text.remove_prefix(8)) mix(load<std::uint64_t>(text.data()));
  mix(load_tail(text));
  return static_cast<std::uint32_t>(hash);
}

}  // namespace

// Slots lie anywhere, so those of several texts are fetched from memory at once.
TextIndex::TextIndex(const StringArray& texts)
    : slots_(std::bit_ceil(texts.size() + texts.size() / 2 + 1)) {
  constexpr std::size_t kBatch = 32;
  std::array<std::uint32_t, kBatch> hashes;
  for (std::size_t begin = 0; begin < texts.size(); begin += kBatch) {
    const std::size_t n = std::min(kBatch, texts.size() - begin);
    for (std::size_t i = 0; i < n; ++i) {
      hashes[i] = hash_text(texts[begin + i]);
      __builtin_prefetch(&slots_[first_slot(hashes[i])], 1);
    }
    for (std::size_t i = 0; i < n; ++i) add(texts, begin + i, hashes[i]);
  }
}

void TextIndex::add(const StringArray& texts, std::size_t i, std::uint32_t hash) {
  if (texts[i].empty()) return;
  std::size_t slot = first_slot(hash);
  for (; slots_[slot].i >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    const auto other = static_cast<std::size_t>(slots_[slot].i);
    if (slots_[slot].hash != hash || texts[other] != texts[i]) continue;
    if (!duplicate_) duplicate_ = {other, i};
    return;
  }
  slots_[slot] = {hash, static_cast<std::int32_t>(i)};
}

std::optional<std::size_t> TextIndex::find(const StringArray& texts, std::string_view text) const {
  if (text.empty()) return std::nullopt;
  const std::uint32_t hash = hash_text(text);
  std::size_t slot = first_slot(hash);
  for (; slots_[slot].i >= 0; slot = (slot + 1) & (slots_.size() - 1)) {
    const auto i = static_cast<std::size_t>(slots_[slot].i);
    if (slots_[slot].hash == hash && texts[i] == text) return i;
  }
  return std::nullopt;
}

}  // namespace haikuda
