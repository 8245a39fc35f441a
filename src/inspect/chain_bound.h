// How far apart two runs may be at a row, each having computed all before it by itself: the bound
// of rounding, times what magnifies it. No judgement of a stage by its own input: stage_check.h.
#pragma once

#include <vector>

#include "inspect/stage_rows.h"
#include "model/config.h"

namespace haikuda {

class ChainBound {
 public:
  // `run` is one of the two; it outlives this.
  ChainBound(const ModelConfig& config, const StageRows& run, double bound);

  double of(const StageRows::Key& key) const;

 private:
  // Behind layer `layer`, -1 the embedding: the greatest power of the residual so far over its
  // power there. What late layers take away again leaves its rounding behind: models that write
  // activations of a thousand into the first position do so.
  double shrinkage(int layer, int position) const;

  const ModelConfig& config_;
  const StageRows& run_;
  double bound_;
};

}  // namespace haikuda
