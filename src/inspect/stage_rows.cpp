#include "inspect/stage_rows.h"

namespace haikuda {

void StageRows::show(const StageView& view) {
  if (view.values.empty()) return;
  for (int i = 0; i < view.n_rows; ++i) {
    const std::span<const float> values = view.row(i);
    rows_[{view.layer, view.stage, view.position + i}] = {values.begin(), values.end()};
  }
}

std::span<const float> StageRows::row(Stage stage, int layer, int position) const {
  const auto it = rows_.find({is_of_layer(stage) ? layer : -1, stage, position});
  return it == rows_.end() ? std::span<const float>{} : std::span<const float>(it->second);
}

}  // namespace haikuda
