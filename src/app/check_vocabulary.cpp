#include "app/check_vocabulary.h"

#include <fmt/format.h>

namespace haikuda {

void check_vocabulary(const Model& model, const Tokenizer& tokenizer) {
  if (tokenizer.vocabulary().size() != model.config.n_vocab)
    model.files.metadata.fail("tokenizer.ggml.tokens",
                              fmt::format("expected {} tokens (rows of token_embd.weight), got {}",
                                          model.config.n_vocab, tokenizer.vocabulary().size()));
}

}  // namespace haikuda
