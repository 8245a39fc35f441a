// A probe that keeps what it is shown, row by row, for rules to read.
#pragma once

#include <map>
#include <span>
#include <tuple>
#include <vector>

#include "infer/probe.h"

namespace haikuda {

class StageRows : public Probe {
 public:
  using Key = std::tuple<int, Stage, int>;  // layer, stage, position

  bool wants(Stage, int, int, int) const override { return true; }
  void show(const StageView& view) override;

  // The row as it was shown last; empty when it never was.
  std::span<const float> row(Stage stage, int layer, int position) const;
  std::span<const float> row(const Key& key) const {
    return row(std::get<1>(key), std::get<0>(key), std::get<2>(key));
  }
  // In the order layer, stage, position; what is outside of the layers has layer -1.
  const std::map<Key, std::vector<float>>& all() const { return rows_; }
  void set(const Key& key, std::vector<float> values) { rows_[key] = std::move(values); }

 private:
  std::map<Key, std::vector<float>> rows_;
};

}  // namespace haikuda
