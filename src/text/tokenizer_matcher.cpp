#include "text/tokenizer_matcher.h"

#include <algorithm>

namespace haikuda {

TokenMatcher::TokenMatcher(const Vocabulary& vocabulary, const std::vector<int>& ids) {
  for (const int id : ids) entries_.push_back({vocabulary.text(id), id});
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.text < b.text; });
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    Range& range = first_byte_[static_cast<unsigned char>(entries_[i].text[0])];
    if (range.end == 0) range.begin = i;
    range.end = i + 1;
  }
}

std::optional<TokenMatcher::Match> TokenMatcher::find(std::string_view text,
                                                      std::size_t from) const {
  for (std::size_t at = from; at < text.size(); ++at) {
    const Range range = first_byte_[static_cast<unsigned char>(text[at])];
    if (range.begin == range.end) continue;
    if (auto match = longest_at(text, at)) return match;
  }
  return std::nullopt;
}

// Narrows the sorted entries to those that agree with the text, one byte more at a time.
std::optional<TokenMatcher::Match> TokenMatcher::longest_at(std::string_view text,
                                                            std::size_t begin) const {
  std::optional<Match> longest;
  const Range range = first_byte_[static_cast<unsigned char>(text[begin])];
  auto first = entries_.begin() + static_cast<std::ptrdiff_t>(range.begin);
  auto last = entries_.begin() + static_cast<std::ptrdiff_t>(range.end);
  for (std::size_t depth = 1; first != last; ++depth) {
    if (first->text.size() == depth) {
      longest = Match{begin, begin + depth, first->id};
      ++first;
    }
    if (begin + depth == text.size()) break;
    const auto byte = static_cast<unsigned char>(text[begin + depth]);
    const auto at_depth = [&](const Entry& e) { return static_cast<unsigned char>(e.text[depth]); };
    first = std::partition_point(first, last, [&](const Entry& e) { return at_depth(e) < byte; });
    last = std::partition_point(first, last, [&](const Entry& e) { return at_depth(e) == byte; });
  }
  return longest;
}

}  // namespace haikuda
