// Finds tokens that are written out in a text, such as <|im_end|>: the leftmost, and there the
// longest.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "text/vocabulary.h"

namespace haikuda {

class TokenMatcher {
 public:
  struct Match {
    std::size_t begin = 0, end = 0;  // bytes of the text
    int id = -1;
  };

  // `vocabulary` outlives the matcher.
  TokenMatcher(const Vocabulary& vocabulary, const std::vector<int>& ids);

  // The first match at or after `from`.
  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  struct Entry {
    std::string_view text;
    int id;
  };
  struct Range {
    std::size_t begin = 0, end = 0;
  };

  std::optional<Match> longest_at(std::string_view text, std::size_t begin) const;

  std::vector<Entry> entries_;           // sorted by text
  std::array<Range, 256> first_byte_{};  // the entries that begin with a byte
};

}  // namespace haikuda
