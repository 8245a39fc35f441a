// What went wrong inside attention.
#include <cmath>

#include <fmt/format.h>

#include "inspect/explain.h"
#include "inspect/nmse.h"

namespace haikuda {
namespace {

using recompute::Row;
using recompute::RowView;

constexpr const char* kNotSoftmax = "not the softmax of the scores";

// The keys or values as they are seen when each was written one slot further: the first is empty.
std::vector<RowView> one_slot_later(const std::vector<RowView>& rows, const Row& empty) {
  std::vector<RowView> out = {empty};
  out.insert(out.end(), rows.begin(), rows.end() - 1);
  return out;
}

bool is_zero_but_last(RowView weights, std::size_t n_heads) {
  const std::size_t n_keys = weights.size() / n_heads;
  for (std::size_t i = 0; i < weights.size(); ++i)
    if ((i + 1) % n_keys != 0 && weights[i] != 0) return false;
  return n_keys > 1;
}

}  // namespace

std::vector<int> kv_heads_by_division(int n_heads, int n_kv_heads) {
  std::vector<int> out(static_cast<std::size_t>(n_heads));
  for (int h = 0; h < n_heads; ++h) out[static_cast<std::size_t>(h)] = h / (n_heads / n_kv_heads);
  return out;
}

std::vector<int> kv_heads_by_modulo(int n_heads, int n_kv_heads) {
  std::vector<int> out(static_cast<std::size_t>(n_heads));
  for (int h = 0; h < n_heads; ++h) out[static_cast<std::size_t>(h)] = h % n_kv_heads;
  return out;
}

std::string Explainer::scores(RowView got,
                              RowView want,
                              RowView q,
                              const std::vector<RowView>& keys,
                              int n_kv_heads,
                              int head_dim) const {
  const int n_heads = static_cast<int>(q.size()) / head_dim;
  const std::vector<int> kv_head = kv_heads_by_division(n_heads, n_kv_heads);
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  if (got.size() != want.size())
    return fmt::format("{} keys are seen and not {}: {}", got.size() / q.size() * keys.size(),
                       keys.size(),
                       got.size() < want.size() ? "the mask ignores the past" : "not causal");
  if (!all_finite(got)) return "not finite: q · k overflows, or visible keys are masked";
  if (same(got, recompute::scores(q, keys, kv_head, 1)))
    return "the scale 1/sqrt(head_dim) is missing";
  if (same(got, recompute::scores(q, keys, kv_heads_by_modulo(n_heads, n_kv_heads), scale)))
    return "heads take their KV head by remainder (h mod n_kv) and not by division";
  const Row empty(keys[0].size());
  if (same(got, recompute::scores(q, one_slot_later(keys, empty), kv_head, scale)))
    return "the cache's slots are off by one";
  bool own_is_right = keys.size() > 1;  // each head's score of the newest key
  for (std::size_t i = keys.size() - 1; i < got.size(); i += keys.size())
    own_is_right &= std::fabs(got[i] - want[i]) <= 1e-3f * (1 + std::fabs(want[i]));
  if (own_is_right) return "earlier keys in the cache are not those that were written";
  return "not q · k / sqrt(head_dim) of the keys shown";
}

std::string Explainer::weights(RowView got, RowView shown_scores, int n_heads) const {
  if (got.size() != shown_scores.size()) return "as many weights as scores are expected";
  if (!all_finite(got))
    return "exp overflows: softmax does not subtract the greatest score, or is in F16";
  if (is_zero_but_last(got, static_cast<std::size_t>(n_heads)))
    return "the mask ignores the past: each token sees itself alone";
  bool equal = true;
  for (const float w : got) equal &= w == got[0];
  if (equal) return "all weights are equal";
  return kNotSoftmax;
}

std::string Explainer::sum_of_softmax(RowView shown_weights,
                                      RowView shown_scores,
                                      int n_heads) const {
  const std::string cause = weights(shown_weights, shown_scores, n_heads);
  return cause == kNotSoftmax ? "the sum is not that of exp(score - max)" : cause;
}

std::string Explainer::mix(RowView got,
                           RowView shown_weights,
                           const std::vector<RowView>& values,
                           int n_heads,
                           int n_kv_heads,
                           int head_dim) const {
  if (same(got, recompute::mix(shown_weights, values, kv_heads_by_modulo(n_heads, n_kv_heads),
                               head_dim)))
    return "heads take their KV head by remainder (h mod n_kv) and not by division";
  const Row empty(values[0].size());
  if (same(got, recompute::mix(shown_weights, one_slot_later(values, empty),
                               kv_heads_by_division(n_heads, n_kv_heads), head_dim)))
    return "the cache's slots are off by one";
  return "not the values shown, weighted: the cache holds others, or the mask differs";
}

std::string Explainer::attention(RowView got,
                                 RowView q,
                                 const std::vector<RowView>& keys,
                                 const std::vector<RowView>& values,
                                 int n_kv_heads,
                                 int head_dim) const {
  if (!all_finite(got))
    return "not finite: q · k overflows, or softmax does not subtract the greatest score";
  const int n_heads = static_cast<int>(q.size()) / head_dim;
  const std::vector<int> division = kv_heads_by_division(n_heads, n_kv_heads);
  const double scale = 1 / std::sqrt(static_cast<double>(head_dim));
  const auto gives = [&](const std::vector<RowView>& k, const std::vector<RowView>& v,
                         const std::vector<int>& kv_head, double by) {
    const Row weights = recompute::softmax(recompute::scores(q, k, kv_head, by), n_heads).weights;
    return same(got, recompute::mix(weights, v, kv_head, head_dim));
  };
  if (gives(keys, values, kv_heads_by_modulo(n_heads, n_kv_heads), scale))
    return "heads take their KV head by remainder (h mod n_kv) and not by division";
  if (gives(keys, values, division, 1)) return "the scale 1/sqrt(head_dim) is missing";
  if (keys.size() == 1) return {};
  if (gives({keys.back()}, {values.back()}, division, scale))
    return "the mask ignores the past: each token sees itself alone";
  if (gives({keys.begin(), keys.end() - 1}, {values.begin(), values.end() - 1}, division, scale))
    return "the mask hides a token from itself: off by one";
  const Row empty(keys[0].size());
  if (gives(one_slot_later(keys, empty), one_slot_later(values, empty), division, scale))
    return "the cache's slots are off by one";
  return {};
}

}  // namespace haikuda
