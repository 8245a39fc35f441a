// A probe that keeps all that it is shown, row by row.
#pragma once

#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "infer/probe.h"
#include "support/catch.h"

namespace haikuda::test {

struct ShownRow {
  std::vector<int> shape;
  std::vector<float> values;
  std::vector<int> ids;
  bool operator==(const ShownRow&) const = default;
};

class ShownStages : public Probe {
 public:
  using Key = std::tuple<int, Stage, int>;  // layer, stage, position

  bool wants(Stage stage, int, int, int) const override {
    return only.empty() || only.count(stage) > 0;
  }
  void show(const StageView& view) override {
    std::size_t size = 1;
    for (const int dim : view.row_shape) size *= static_cast<std::size_t>(dim);
    const bool has_ids = view.stage == Stage::tokens || view.stage == Stage::sampled;
    const auto n_rows = static_cast<std::size_t>(view.n_rows);
    REQUIRE(view.values.size() == (has_ids ? 0 : n_rows * size));
    REQUIRE(view.ids.size() == (has_ids ? n_rows : 0));
    for (int i = 0; i < view.n_rows; ++i) {
      ShownRow row{view.row_shape, {}, {}};
      if (has_ids)
        row.ids = {view.ids[static_cast<std::size_t>(i)]};
      else
        row.values = {view.row(i).begin(), view.row(i).end()};
      rows[{view.layer, view.stage, view.position + i}] = std::move(row);
      order.push_back({view.layer, view.stage, view.position + i});
    }
  }
  const std::vector<float>& values(Stage stage, int layer, int position) const {
    return rows.at({layer, stage, position}).values;
  }

  std::set<Stage> only;  // empty: all
  std::map<Key, ShownRow> rows;
  std::vector<Key> order;
};

}  // namespace haikuda::test
