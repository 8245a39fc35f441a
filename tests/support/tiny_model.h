// A small model with random weights and a small byte-level vocabulary, as a GGUF file that
// llama.cpp's and transformers' readers accept too. Its text is nonsense; its arithmetic is that of
// a real model.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "support/gguf_writer.h"

namespace haikuda::test {

// llama3 is a tensor of factors, rope_freqs.weight; the others are metadata.
enum class TinyRope { none, linear, yarn, llama3 };

struct TinyModelOptions {
  std::string architecture = "qwen2";         // or "llama", "qwen3"
  DType dtype = DType::F16;                   // of the matrices
  std::optional<DType> embedding_dtype = {};  // of token_embd and output; default: dtype
  std::optional<DType> richer_dtype = {};     // of v and down of every second layer, from the first
  int n_layers = 2;
  int n_embd = 256;  // n_embd, n_ff and n_heads * head_dim are multiples of the types' blocks
  int n_heads = 4;
  int n_kv_heads = 2;
  int head_dim =
      0;  // 0: n_embd / n_heads; of qwen3 128, which transformers assumes whatever the file says
  int n_ff = 512;
  int n_ctx = 512;
  bool tied = true;  // no output.weight
  TinyRope rope = TinyRope::none;
  std::uint64_t seed = 1;
  bool escapes = false;  // what a terminal would obey, in every text of the metadata
};

// Throws Error(usage) for options that do not fit together.
std::vector<std::byte> make_tiny_model(const TinyModelOptions& options);
// The same before it is written, for a test to change.
GgufWriter tiny_model_writer(const TinyModelOptions& options);

// The vocabulary: 256 bytes, merged tokens, then <|endoftext|> <|im_start|> <|im_end|>.
std::vector<std::string> tiny_tokens();
std::vector<std::string> tiny_merges();

}  // namespace haikuda::test
