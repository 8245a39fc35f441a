// GGUF files that are wrong in one way each, with the verdict a reader owes: the corpus of the
// parser's tests.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "support/gguf_writer.h"

namespace haikuda::test {

struct GgufCase {
  std::string name;
  std::vector<std::byte> bytes;
  std::optional<ExitCode> code;  // nullopt: the file is accepted
  std::string message;           // a part of the error's text: the field and what is wrong with it
};

std::vector<GgufCase> malformed_gguf_cases();

// Well-formed, some 2 KB, with every kind of entry; every byte before the data matters.
GgufWriter sample_gguf();

}  // namespace haikuda::test
