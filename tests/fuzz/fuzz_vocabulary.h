// A small fixed byte-level BPE vocabulary with control and user-defined tokens.
#pragma once

#include <memory>
#include <string>

#include "text/tokenizer.h"

namespace haikuda::fuzz {

std::unique_ptr<Tokenizer> make_fuzz_tokenizer(const std::string& pre);

}  // namespace haikuda::fuzz
