// Whether a model's tokenizer and its weights belong together.
#pragma once

#include "model/model.h"
#include "text/tokenizer.h"

namespace haikuda {

// Throws Error(model_file) when the tokenizer has not as many tokens as the model has logits.
void check_vocabulary(const Model& model, const Tokenizer& tokenizer);

}  // namespace haikuda
