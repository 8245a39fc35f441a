// SentencePiece BPE (tokenizer.ggml.model = llama): neighbours merge to the piece of the highest
// score; what is no piece falls back to bytes. No pre-tokenizer, no normalisation.
#pragma once

#include <memory>

#include "gguf/metadata.h"
#include "text/tokenizer_model.h"
#include "text/vocabulary.h"

namespace haikuda {

// `vocabulary` outlives the result. Throws Error(model_file) when the scores or byte tokens are
// unusable.
std::unique_ptr<TokenizerModel> make_spm_model(const Vocabulary& vocabulary,
                                               const Metadata& metadata);

}  // namespace haikuda
