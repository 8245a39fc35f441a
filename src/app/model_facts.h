// What the header of a model's file says, for info, --plan and records. Needs no weights and no
// known architecture.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "gguf/model_files.h"

namespace haikuda {

struct TypeShare {
  DType dtype;
  int n_tensors = 0;
  std::uint64_t n_elems = 0, bytes = 0;
};

struct ModelFacts {
  std::string file, architecture, name;  // name may be empty
  std::vector<TypeShare> types;          // most bytes first; empty for a vocabulary alone
  std::uint64_t n_params = 0, weight_bytes = 0, file_bytes = 0;
  std::optional<std::int64_t> n_ctx_train, n_layers, n_embd, n_vocab;
  std::string tokenizer, pre_tokenizer;  // may be empty
  bool has_chat_template = false;

  // The type that holds most bytes; "none" without tensors.
  std::string quant() const;
};

ModelFacts model_facts(const ModelFiles& files);

std::string human_bytes(std::uint64_t bytes);  // "1.25 GiB"
std::string human_count(std::uint64_t n);      // "494M", "7.62B"

}  // namespace haikuda
