// Finds stop strings in text that arrives in pieces, and holds back what may still become one.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace haikuda {

// Aho and Corasick (CACM 18(6), 1975): linear in the text, whatever the stop strings.
class StopMatcher {
 public:
  // Bytes, none of them empty. No strings: everything passes at once.
  explicit StopMatcher(std::span<const std::string> stop_strings);

  // The text that can be no part of a match any more. Where the match that ends first is complete
  // (the longest of those), what is before it is returned, match() is its text and all later text
  // is dropped. Whole UTF-8 characters stay whole when text and stop strings are UTF-8.
  std::string push(std::string_view text);
  // The end: what was held back, as it belongs to no match.
  std::string flush();

  bool matched() const { return matched_ >= 0; }
  const std::string& match() const { return strings_[static_cast<std::size_t>(matched_)]; }

 private:
  struct Node {
    std::map<char, int> next;
    int failure = 0;  // the longest proper suffix that some string begins with
    int string = -1;  // the longest that ends here
    std::size_t depth = 0;
  };
  void insert(std::size_t string);
  void link_failures();
  int step(int node, char byte) const;

  std::vector<std::string> strings_;
  std::vector<Node> nodes_;
  int state_ = 0;
  int matched_ = -1;
  std::string held_;  // its length is the depth of the state
};

}  // namespace haikuda
