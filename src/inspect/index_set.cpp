#include "inspect/index_set.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr int kMost = std::numeric_limits<int>::max();

// The number that is the whole text; -1 when it is none.
int number(std::string_view text) {
  int value = -1;
  const char* last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  return error == std::errc{} && end == last && value >= 0 && value < kMost ? value : -1;
}

}  // namespace

IndexSet IndexSet::all() {
  IndexSet out;
  out.ranges_ = {{0, kMost}};
  return out;
}

IndexSet IndexSet::parse(std::string_view text, const std::string& flag) {
  if (text == "all") return all();
  IndexSet out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const std::size_t dash = part.find('-');
    const int first = number(part.substr(0, dash));
    const int last = dash == std::string_view::npos ? first : number(part.substr(dash + 1));
    if (first < 0 || last < first)
      throw Error(ExitCode::usage,
                  fmt::format("{}: '{}' is neither a number from 0 on nor a range such as 0-3 (in "
                              "'{}'); several are joined by commas, all is all",
                              flag, printable(std::string(part)), printable(std::string(text))));
    out.ranges_.emplace_back(first, last);
    begin = end + 1;
  }
  return out;
}

bool IndexSet::intersects(int first, int n) const {
  return std::any_of(ranges_.begin(), ranges_.end(), [&](const auto& range) {
    return range.first < first + n && range.second >= first;
  });
}

bool IndexSet::is_all() const {
  return ranges_.size() == 1 && ranges_[0] == std::pair{0, kMost};
}

int IndexSet::max() const {
  HAIKUDA_CHECK(!empty() && !is_all());
  int out = 0;
  for (const auto& range : ranges_) out = std::max(out, range.second);
  return out;
}

void check_below(const IndexSet& set, int n, const char* flag, const char* what) {
  if (set.empty() || set.is_all() || set.max() < n) return;
  throw Error(ExitCode::usage, fmt::format("{}: {} {} does not exist, this model has {} to {}",
                                           flag, what, set.max(), 0, n - 1));
}

}  // namespace haikuda
