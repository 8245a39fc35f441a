// Any text with every pre-tokenizer: decoding gives it back. Layout: pre-tokenizer, cut, text.
#include <array>

#include "fuzz_target.h"
#include "fuzz_vocabulary.h"

namespace haikuda::fuzz {

void fuzz_tokenizer(Bytes bytes) {
  static const std::array tokenizers = {
      make_fuzz_tokenizer("gpt-2"), make_fuzz_tokenizer("qwen2"), make_fuzz_tokenizer("llama-bpe"),
      make_fuzz_tokenizer("smollm"), make_fuzz_tokenizer("default")};
  Input input(bytes);
  const Tokenizer& tokenizer =
      *tokenizers[static_cast<std::size_t>(input.below(static_cast<int>(tokenizers.size())))];
  const std::size_t cut = input.take<unsigned char>();
  const std::string text(as_text(input.rest()));

  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.encode(text, {.add_special = false, .parse_special = parse_special});
    require(ids.size() <= text.size(), "a token has a byte");
    for (const int id : ids)
      require(id >= 0 && id < tokenizer.vocabulary().size(), "an id is of the vocabulary");
    require(tokenizer.decode(ids, true) == text, "decoding gives the text back");
    if (parse_special) continue;
    require(tokenizer.decode(ids) == text, "no control token comes from plain text");
  }
  const std::size_t middle = std::min(cut, text.size());
  const TextPiece pieces[] = {{text.substr(0, middle), false}, {text.substr(middle), true}};
  require(tokenizer.decode(tokenizer.encode_pieces(pieces), true) == text,
          "decoding gives the pieces back");
}

}  // namespace haikuda::fuzz
