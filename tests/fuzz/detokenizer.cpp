// Any bytes in any pieces: the same text whatever the cuts, always UTF-8. Layout: bits that say
// where to cut, bytes.
#include "base/utf8.h"
#include "fuzz_target.h"
#include "fuzz_vocabulary.h"
#include "text/detokenizer.h"

namespace haikuda::fuzz {
namespace {

bool is_utf8(std::string_view text) {
  return !find_invalid_utf8(text);
}

std::string in_pieces(std::string_view bytes, std::uint64_t cuts) {
  Utf8Stream stream;
  std::string out;
  std::size_t begin = 0, held_most = 0;
  for (std::size_t i = 0; i <= bytes.size(); ++i) {
    if (i < bytes.size() && (cuts >> (i % 64) & 1) == 0) continue;
    const std::string text = stream.push(bytes.substr(begin, i - begin));
    require(is_utf8(text), "each piece is UTF-8");
    out += text;
    begin = i;
    held_most = out.size() < i ? std::max(held_most, i - out.size()) : held_most;
  }
  require(held_most <= 3, "at most 3 bytes are held back");
  return out + stream.flush();
}

// Each id is two bytes.
void by_tokens(Bytes bytes) {
  static const auto tokenizer = make_fuzz_tokenizer("qwen2");
  Input input(bytes);
  std::string text, want;
  Detokenizer detokenizer(*tokenizer);
  while (!input.rest().empty()) {
    const int id = input.take<std::uint16_t>() % tokenizer->vocabulary().size();
    text += detokenizer.push(id);
    require(is_utf8(text), "what a token completes is UTF-8");
    want += tokenizer->decode(id);
  }
  require(text + detokenizer.flush() == in_pieces(want, 0), "tokens give the text of their bytes");
}

}  // namespace

void fuzz_detokenizer(Bytes bytes) {
  Input input(bytes);
  const auto cuts = input.take<std::uint64_t>();
  const std::string_view text = as_text(input.rest());
  const std::string whole = in_pieces(text, 0);
  require(is_utf8(whole), "the text is UTF-8");
  require(in_pieces(text, cuts) == whole, "cuts do not matter");
  require(in_pieces(text, ~std::uint64_t{0}) == whole, "byte by byte is the same");
  if (is_utf8(text)) require(whole == text, "UTF-8 stays as it is");
  by_tokens(input.rest().first(std::min<std::size_t>(input.rest().size(), 512)));
}

}  // namespace haikuda::fuzz
