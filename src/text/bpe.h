// Byte-level BPE (tokenizer.ggml.model = gpt2): words of the pre-tokenizer, merged pair by pair.
#pragma once

#include <memory>

#include "gguf/metadata.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_model.h"
#include "text/vocabulary.h"

namespace haikuda {

// `vocabulary` outlives the result. Merges that name no token of the vocabulary are left out.
// Throws Error(model_file) when tokenizer.ggml.merges is missing, of another type or of no use at
// all.
std::unique_ptr<TokenizerModel> make_bpe_model(const Vocabulary& vocabulary,
                                               const Metadata& metadata,
                                               const PretokenizerSpec& spec);

}  // namespace haikuda
