#include "text/stop_matcher.h"

#include <utility>

#include "base/error.h"

namespace haikuda {

StopMatcher::StopMatcher(std::span<const std::string> stop_strings)
    : strings_(stop_strings.begin(), stop_strings.end()), nodes_(1) {
  for (std::size_t i = 0; i < strings_.size(); ++i) insert(i);
  link_failures();
}

void StopMatcher::insert(std::size_t string) {
  HAIKUDA_CHECK(!strings_[string].empty());
  int at = 0;
  for (const char byte : strings_[string]) {
    const auto [child, is_new] = nodes_[static_cast<std::size_t>(at)].next.try_emplace(
        byte, static_cast<int>(nodes_.size()));
    const std::size_t depth = nodes_[static_cast<std::size_t>(at)].depth + 1;
    at = child->second;
    if (is_new) nodes_.emplace_back().depth = depth;
  }
  nodes_[static_cast<std::size_t>(at)].string = static_cast<int>(string);
}

// Breadth first, so that the failure of a node, which is shorter, is known before it is needed.
void StopMatcher::link_failures() {
  std::vector<int> queue = {0};
  for (std::size_t i = 0; i < queue.size(); ++i) {
    const int at = queue[i];
    for (const auto& [byte, child] : nodes_[static_cast<std::size_t>(at)].next) {
      Node& node = nodes_[static_cast<std::size_t>(child)];
      node.failure = at == 0 ? 0 : step(nodes_[static_cast<std::size_t>(at)].failure, byte);
      if (node.string < 0) node.string = nodes_[static_cast<std::size_t>(node.failure)].string;
      queue.push_back(child);
    }
  }
}

int StopMatcher::step(int node, char byte) const {
  for (;;) {
    const Node& at = nodes_[static_cast<std::size_t>(node)];
    const auto child = at.next.find(byte);
    if (child != at.next.end()) return child->second;
    if (node == 0) return 0;
    node = at.failure;
  }
}

std::string StopMatcher::push(std::string_view text) {
  if (matched()) return {};
  std::string out = std::exchange(held_, {});
  for (const char byte : text) {
    state_ = step(state_, byte);
    out += byte;
    matched_ = nodes_[static_cast<std::size_t>(state_)].string;
    if (!matched()) continue;
    out.resize(out.size() - match().size());
    return out;
  }
  const std::size_t n_held = nodes_[static_cast<std::size_t>(state_)].depth;
  held_ = out.substr(out.size() - n_held);
  out.resize(out.size() - n_held);
  return out;
}

std::string StopMatcher::flush() {
  state_ = 0;
  return std::exchange(held_, {});
}

}  // namespace haikuda
