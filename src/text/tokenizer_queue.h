// The order in which neighbours merge; for bpe.cpp and spm.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

namespace haikuda {

// A priority queue that gives the least Candidate first. Those that are known at the start, by far
// the most, are sorted once and read in order; only the others go through a heap, which so stays
// small: with a million letters that takes half the time of one heap.
template <class Candidate>
class CandidateQueue {
 public:
  void clear() {
    sorted_.clear();
    heap_.clear();
    n_read_ = 0;
  }
  // Before start().
  void add(const Candidate& candidate) { sorted_.push_back(candidate); }
  void start() { std::sort(sorted_.begin(), sorted_.end()); }
  // After start().
  void push(const Candidate& candidate) {
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end(), kLater);
  }
  std::optional<Candidate> pop() {
    const bool has_sorted = n_read_ < sorted_.size();
    if (has_sorted && (heap_.empty() || !(heap_.front() < sorted_[n_read_])))
      return sorted_[n_read_++];
    if (heap_.empty()) return std::nullopt;
    std::pop_heap(heap_.begin(), heap_.end(), kLater);
    const Candidate candidate = heap_.back();
    heap_.pop_back();
    return candidate;
  }

 private:
  // A lambda, which the heap functions inline; a function pointer they do not.
  static constexpr auto kLater = [](const Candidate& a, const Candidate& b) { return b < a; };

  std::vector<Candidate> sorted_;
  std::size_t n_read_ = 0;
  std::vector<Candidate> heap_;
};

}  // namespace haikuda
