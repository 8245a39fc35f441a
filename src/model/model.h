// A model as it lies on disk: configuration and weights, immutable; devices load it from here.
#pragma once

#include <string>

#include "gguf/model_files.h"
#include "model/config.h"
#include "model/weights.h"

namespace haikuda {

// The weights view the files' bytes, so a Model is moved or kept, never copied.
struct Model {
  explicit Model(ModelFiles opened)
      : files(std::move(opened)),
        config(read_config(files.metadata)),
        weights(bind_weights(files, config)) {}
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;
  Model(Model&&) = default;
  Model& operator=(Model&&) = default;

  ModelFiles files;
  ModelConfig config;
  Weights weights;

  // E.g. "qwen2 0.49B Q8_0": architecture, parameters, the type that holds most bytes.
  std::string description() const;
};

}  // namespace haikuda
