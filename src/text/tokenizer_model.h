// How a kind of tokenizer cuts plain text into tokens; implemented by bpe.cpp and spm.cpp.
// Not special tokens, BOS or the space prefix: those are tokenizer.cpp's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace haikuda {

class TokenizerModel {
 public:
  virtual ~TokenizerModel() = default;
  // Appends the tokens of `text`: any bytes, in which no special token is looked for.
  virtual void encode(std::string_view text, std::vector<int>& out) const = 0;
  // The bytes that a normal or byte token stands for.
  virtual std::string decode(int id) const = 0;
};

}  // namespace haikuda
