#include "fuzz_vocabulary.h"

#include "gguf/gguf_file.h"
#include "support/gguf_writer.h"
#include "support/tiny_model.h"

namespace haikuda::fuzz {

std::unique_ptr<Tokenizer> make_fuzz_tokenizer(const std::string& pre) {
  std::vector<std::string> tokens = test::tiny_tokens();
  std::vector<std::int32_t> types(tokens.size(), static_cast<std::int32_t>(TokenType::normal));
  for (std::size_t i = tokens.size() - 3; i < tokens.size(); ++i)
    types[i] = static_cast<std::int32_t>(TokenType::control);
  for (const char* text : {"<tool>", "<tool>x", "\xc2\xa0", "  "}) {
    tokens.emplace_back(text);
    types.push_back(static_cast<std::int32_t>(TokenType::user_defined));
  }
  test::GgufWriter writer;
  writer.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", pre);
  writer.set_array("tokenizer.ggml.tokens", tokens).set_array("tokenizer.ggml.token_type", types);
  writer.set_array("tokenizer.ggml.merges", test::tiny_merges());
  writer.set("tokenizer.ggml.bos_token_id", std::uint32_t{0});
  return Tokenizer::create(parse_gguf(writer.finish(), "fuzz.gguf").metadata);
}

}  // namespace haikuda::fuzz
