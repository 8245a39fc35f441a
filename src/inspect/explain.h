// Why a stage shows something else than it ought to: the mistakes that people make are recomputed
// one after the other, and the one that gives what was shown is named. One short phrase each.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "inspect/recompute.h"

namespace haikuda {

// Two rows as close as `bound` (NMSE) are the same.
struct Explainer {
  double bound = 1e-6;

  using Row = recompute::Row;
  using RowView = recompute::RowView;

  // Another matrix or vector that may have been used by mistake, and what it is called.
  using Candidate = std::pair<std::string, TensorView>;

  std::string embedding(RowView got, const TensorView& table, int token) const;
  std::string norm(RowView got,
                   RowView x,
                   RowView weight,
                   int size,
                   double eps,
                   const std::vector<Candidate>& others) const;
  std::string product(RowView got,
                      RowView want,
                      const TensorView& w,
                      RowView bias,
                      RowView x,
                      const std::vector<Candidate>& others,
                      ThreadPool& threads) const;
  std::string angles(RowView got, const recompute::Rotation& rotation, int position) const;
  std::string rope(RowView got,
                   RowView x,
                   const recompute::Rotation& rotation,
                   int position,
                   double freq_base) const;
  // `head_dim` of the model; keys in the order of the positions.
  std::string scores(RowView got,
                     RowView want,
                     RowView q,
                     const std::vector<RowView>& keys,
                     int n_kv_heads,
                     int head_dim) const;
  std::string weights(RowView got, RowView scores, int n_heads) const;
  // The weights tell what was left out of the sum, or what was in it too much.
  std::string sum_of_softmax(RowView weights, RowView scores, int n_heads) const;
  std::string mix(RowView got,
                  RowView weights,
                  const std::vector<RowView>& values,
                  int n_heads,
                  int n_kv_heads,
                  int head_dim) const;
  // From the rotated q on, where the device keeps to itself what lies between.
  std::string attention(RowView got,
                        RowView q,
                        const std::vector<RowView>& keys,
                        const std::vector<RowView>& values,
                        int n_kv_heads,
                        int head_dim) const;
  std::string sum(RowView got, RowView stream, RowView block) const;
  std::string activation(RowView got, RowView gate, RowView up) const;

 private:
  bool same(RowView a, RowView b) const;
};

// The KV head of each head by division, as it is meant, and by remainder, as it is not.
std::vector<int> kv_heads_by_division(int n_heads, int n_kv_heads);
std::vector<int> kv_heads_by_modulo(int n_heads, int n_kv_heads);

}  // namespace haikuda
