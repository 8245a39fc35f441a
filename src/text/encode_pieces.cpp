#include <algorithm>
#include <optional>

#include "text/tokenizer.h"
#include "text/tokenizer_matcher.h"

namespace haikuda {
namespace {

using Match = TokenMatcher::Match;

// The template's pieces within the joined text, as byte ranges.
class TemplateRanges {
 public:
  void append(const TextPiece& piece) {
    const std::size_t begin = end_;
    end_ += piece.text.size();
    if (!piece.from_input) ranges_.push_back({begin, end_});
  }
  bool contains(const Match& match) const {
    return std::any_of(ranges_.begin(), ranges_.end(),
                       [&](const Range& r) { return r.begin <= match.begin && match.end <= r.end; });
  }

 private:
  struct Range {
    std::size_t begin, end;
  };
  std::vector<Range> ranges_;
  std::size_t end_ = 0;
};

}  // namespace

std::vector<int> Tokenizer::encode_pieces(std::span<const TextPiece> pieces) const {
  std::string text;
  TemplateRanges ranges;
  for (const TextPiece& piece : pieces) {
    text += piece.text;
    ranges.append(piece);
  }
  const auto find = [&](std::size_t from) {
    std::optional<Match> special = special_->find(text, from);
    while (special && !ranges.contains(*special)) special = special_->find(text, special->begin + 1);
    const std::optional<Match> user_defined = user_defined_->find(text, from);
    return special && (!user_defined || special->begin <= user_defined->begin) ? special : user_defined;
  };
  std::vector<int> ids;
  bool at_start = true;
  for (std::size_t at = 0; at < text.size();) {
    const auto match = find(at);
    const std::size_t end = match ? match->begin : text.size();
    if (end > at) encode_text(std::string_view(text).substr(at, end - at), at_start, ids);
    if (match) ids.push_back(match->id);
    at_start = match.has_value();
    at = match ? match->end : end;
  }
  return ids;
}

}  // namespace haikuda
