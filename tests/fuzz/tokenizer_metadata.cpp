// Any metadata as a tokenizer: an Error, or one that encodes and decodes.
#include "fuzz_target.h"
#include "gguf/gguf_file.h"
#include "text/tokenizer.h"

namespace haikuda::fuzz {
namespace {

constexpr std::string_view kText =
    "Hello, the  world's 1234 \xe4\xbd\xa0\xe5\xa5\xbd \xff<|im_start|></s>\n\n x";

void encode_and_decode(const Metadata& metadata) {
  const auto tokenizer = Tokenizer::create(metadata);
  const int n = tokenizer->vocabulary().size();
  for (const bool parse_special : {false, true}) {
    const auto ids =
        tokenizer->encode(kText, {.add_special = true, .parse_special = parse_special});
    for (const int id : ids) require(id >= 0 && id < n, "an id is of the vocabulary");
    tokenizer->decode(ids, true);
  }
  const TextPiece pieces[] = {{"<s>", false}, {"</s> user", true}};
  tokenizer->encode_pieces(pieces);
  for (int id = 0; id < std::min(n, 1000); ++id) tokenizer->decode(id, id % 2 == 0);
  for (const int id : tokenizer->vocabulary().end_of_generation())
    require(id >= 0 && id < n, "an end is of the vocabulary");
}

}  // namespace

void fuzz_tokenizer_metadata(Bytes bytes) {
  expect_result_or_error({ExitCode::model_file, ExitCode::unsupported},
                         [&] { encode_and_decode(parse_gguf(bytes, "fuzz.gguf").metadata); });
}

}  // namespace haikuda::fuzz
