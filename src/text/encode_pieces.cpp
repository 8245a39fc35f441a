#include <algorithm>
#include <optional>

#include "text/tokenizer.h"
#include "text/tokenizer_matcher.h"

namespace haikuda {
namespace {

using Match = TokenMatcher::Match;

// The template's pieces within the joined text, as byte ranges in order.
class TemplateRanges {
 public:
  explicit TemplateRanges(std::span<const TextPiece> pieces) {
    std::size_t end = 0;
    for (const TextPiece& piece : pieces) {
      const std::size_t begin = end;
      end += piece.text.size();
      if (!piece.from_input) ranges_.push_back({begin, end});
    }
  }
  bool contain(const Match& match) const {
    const auto after =
        std::upper_bound(ranges_.begin(), ranges_.end(), match.begin,
                         [](std::size_t at, const Range& r) { return at < r.begin; });
    return after != ranges_.begin() && match.end <= std::prev(after)->end;
  }

 private:
  struct Range {
    std::size_t begin, end;
  };
  std::vector<Range> ranges_;
};

// The next match of one kind; searched again only once the text has been cut past it.
template <class Find>
class NextMatch {
 public:
  explicit NextMatch(Find find) : find_(std::move(find)), match_(find_(0)) {}
  const std::optional<Match>& from(std::size_t at) {
    if (match_ && match_->begin < at) match_ = find_(at);
    return match_;
  }

 private:
  Find find_;
  std::optional<Match> match_;
};

}  // namespace

std::vector<int> Tokenizer::encode_pieces(std::span<const TextPiece> pieces) const {
  std::string text;
  for (const TextPiece& piece : pieces) text += piece.text;
  const TemplateRanges of_template(pieces);
  NextMatch special([&](std::size_t at) {
    auto match = special_->find(text, at);
    while (match && !of_template.contain(*match)) match = special_->find(text, match->begin + 1);
    return match;
  });
  NextMatch user_defined([&](std::size_t at) { return user_defined_->find(text, at); });
  const auto find = [&](std::size_t at) {
    const auto &s = special.from(at), &u = user_defined.from(at);
    return s && (!u || s->begin <= u->begin) ? s : u;
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
