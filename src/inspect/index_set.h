// Numbers from 0 on, as the command line writes them: "0-1,23" or "all".
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace haikuda {

class IndexSet {
 public:
  IndexSet() = default;  // empty
  static IndexSet all();
  // Throws Error(usage) that begins with `flag`.
  static IndexSet parse(std::string_view text, const std::string& flag);

  bool contains(int index) const { return intersects(index, 1); }
  // Whether it has any of [first, first + n).
  bool intersects(int first, int n) const;
  bool empty() const { return ranges_.empty(); }
  bool is_all() const;
  // The greatest, of a set that is neither empty nor all.
  int max() const;

 private:
  std::vector<std::pair<int, int>> ranges_;  // first and last
};

// Throws Error(usage) that begins with `flag` when the set names a `what` ("layer") from n on.
void check_below(const IndexSet& set, int n, const char* flag, const char* what);

}  // namespace haikuda
