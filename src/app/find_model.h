// Where a model named on the command line lies.
#pragma once

#include <string>

#include "app/options.h"
#include "gguf/model_files.h"

namespace haikuda {

// A path as it stands when there is such a file; otherwise the name of a model that
// scripts/fetch_model.sh has put into the model folder ($HAIKUDA_MODELS, or haikuda/models in the
// user's cache). Empty: the model inside the executable.
ModelFiles open_model(const std::string& path_or_name);
// With the metadata that options.overrides ask for.
ModelFiles open_model(const ModelOptions& options);

}  // namespace haikuda
