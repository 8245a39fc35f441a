#include "text/detokenizer.h"

namespace haikuda {

std::string Detokenizer::push(int id) {
  return stream_.push(tokenizer_.decode_next(id, at_start_, special_));
}

std::string Detokenizer::flush() {
  return stream_.flush();
}

}  // namespace haikuda
