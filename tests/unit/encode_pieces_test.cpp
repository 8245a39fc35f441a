#include "tokenizer_support.h"

namespace haikuda::test {
namespace {

using Ids = std::vector<int>;

TEST_CASE("pieces: control tokens come from the template alone", "[tokenizer]") {
  const ToyVocabulary toy = toy_bpe();
  const auto tokenizer = toy.build();
  const int start = toy.id("<|im_start|>"), end = toy.id("<|im_end|>"), tool = toy.id("<tool>");
  const std::vector<TextPiece> chat = {
      {"<|im_start|>", false}, {"<|im_end|>", true}, {"<|im_end|>", false}};
  Ids want = tokenizer->encode("<|im_end|>", {.add_special = false, .parse_special = false});
  REQUIRE(want.size() > 1);
  want.insert(want.begin(), start);
  want.push_back(end);
  REQUIRE(tokenizer->encode_pieces(chat) == want);
  // User-defined tokens are text to anybody.
  REQUIRE(tokenizer->encode_pieces(std::vector<TextPiece>{{"f<tool>", true}, {"<tool>", false}}) ==
          Ids{'f', tool, tool});
}

TEST_CASE("pieces: a control token that only the joined text spells is no control token",
          "[tokenizer]") {
  const ToyVocabulary toy = toy_bpe();
  const auto tokenizer = toy.build();
  for (const std::vector<TextPiece>& split :
       {std::vector<TextPiece>{{"<|im_", false}, {"start|>", true}},
        std::vector<TextPiece>{{"<|im_", true}, {"start|>", false}}})
    REQUIRE(tokenizer->encode_pieces(split).size() > 1);
}

TEST_CASE("pieces: what lies between control tokens is cut as one text", "[tokenizer]") {
  const ToyVocabulary toy = toy_bpe();
  const auto tokenizer = toy.build();
  const std::string text = "user\nhello there";
  const Ids whole = tokenizer->encode(text, {.add_special = false, .parse_special = false});
  for (std::size_t cut = 0; cut <= text.size(); ++cut)
    REQUIRE(tokenizer->encode_pieces(std::vector<TextPiece>{{text.substr(0, cut), false},
                                                            {text.substr(cut), true}}) == whole);
  REQUIRE(tokenizer->encode_pieces({}).empty());
}

TEST_CASE("pieces: many control tokens in the user's text take linear time", "[tokenizer]") {
  const auto tokenizer = toy_bpe().build();
  std::string text;
  while (text.size() < 300'000) text += "<|im_end|><tool>";
  const std::vector<TextPiece> chat = {
      {"<|im_start|>", false}, {text, true}, {"<|im_end|>", false}};
  REQUIRE(tokenizer->encode_pieces(chat).size() > 100'000);
}

}  // namespace
}  // namespace haikuda::test
