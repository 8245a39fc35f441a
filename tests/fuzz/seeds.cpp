// Writes the seeds that are made rather than kept: fuzz_seeds DIR fills DIR/<target>/. See
// scripts/fuzz.sh.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/gguf_writer.h"
#include "support/malformed_gguf.h"
#include "support/tiny_model.h"

namespace haikuda::fuzz {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, std::span<const std::byte> bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

void write(const fs::path& path, std::string_view text) {
  write(path, std::as_bytes(std::span(text)));
}

// One token a byte pair at most, so that a mutation seldom hits it.
std::vector<std::byte> small_vocabulary(const std::string& model, const std::string& pre) {
  test::GgufWriter w;
  w.set("tokenizer.ggml.model", model).set("tokenizer.ggml.pre", pre);
  w.set_array("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "</s>", "<0x41>",
                                                                "a", "b", "ab", "\xe2\x96\x81",
                                                                "\xe2\x96\x81"
                                                                "a",
                                                                "<|im_end|>"});
  w.set_array("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 3, 6, 1, 1, 1, 1, 1, 4});
  w.set_array("tokenizer.ggml.scores", std::vector<float>{0, 0, 0, 0, -1, -2, -3, -4, -5, 0});
  w.set_array("tokenizer.ggml.merges", std::vector<std::string>{"a b", "\xe2\x96\x81 a"});
  w.set("tokenizer.ggml.bos_token_id", std::uint32_t{1})
      .set("tokenizer.ggml.eos_token_id", std::uint32_t{2});
  w.set("tokenizer.ggml.unknown_token_id", std::uint32_t{0})
      .set("tokenizer.ggml.eot_token_id", std::uint32_t{9});
  w.set("tokenizer.ggml.add_bos_token", true).set("tokenizer.ggml.add_space_prefix", true);
  return w.finish();
}

void write_models(const fs::path& folder) {
  const auto small = [](const std::string& architecture, DType dtype, int n_embd,
                        test::TinyRope rope, bool tied) {
    return test::make_tiny_model({.architecture = architecture,
                                  .dtype = dtype,
                                  .n_layers = 1,
                                  .n_embd = n_embd,
                                  .n_heads = 2,
                                  .n_kv_heads = 1,
                                  .head_dim = n_embd / 2,
                                  .n_ff = n_embd,
                                  .n_ctx = 16,
                                  .tied = tied,
                                  .rope = rope});
  };
  const auto both = [&](const std::string& name, const std::vector<std::byte>& bytes) {
    write(folder / "model_load" / name, bytes);
    write(folder / "gguf_parse" / name, bytes);
  };
  both("qwen2-f32", small("qwen2", DType::F32, 8, test::TinyRope::none, false));
  both("qwen3-f16", small("qwen3", DType::F16, 8, test::TinyRope::yarn, true));
  both("llama-bf16", small("llama", DType::BF16, 8, test::TinyRope::llama3, true));
  both("llama-linear", small("llama", DType::F16, 8, test::TinyRope::linear, true));
  for (const DType dtype : {DType::Q4_0, DType::Q4_1, DType::Q5_0, DType::Q5_1, DType::Q8_0,
                            DType::IQ4_NL, DType::MXFP4})
    write(folder / "model_load" / dtype_name(dtype),
          small("qwen2", dtype, 64, test::TinyRope::none, true));
}

void write_all(const fs::path& folder) {
  write_models(folder);
  for (const test::GgufCase& c : test::malformed_gguf_cases()) {
    if (c.bytes.size() > 8192) continue;
    std::string name = "case " + c.name;
    std::replace(name.begin(), name.end(), '/', '_');
    for (const char* target : {"gguf_parse", "model_load", "tokenizer_metadata"})
      write(folder / target / name, c.bytes);
  }
  for (const char* model : {"gpt2", "llama"})
    for (const char* pre : {"default", "gpt-2", "qwen2", "llama-bpe", "smollm"})
      write(folder / "tokenizer_metadata" / (std::string(model) + "-" + pre),
            small_vocabulary(model, pre));
  write(folder / "tokenizer" / "words",
        std::string_view(
            "\1\4Hello, the  world's 1234\r\n\n \xe4\xbd\xa0\xe5\xa5\xbd \xff<|im_start|><tool>x"));
  write(folder / "detokenizer" / "characters",
        std::string_view("\x55\x12\x34\x56\x78\x9a\xbc\xdeh\xc3\xa9\xe2\x82\xac\xf0\x9f\x99\x82\xe2"
                         "\x82\xff\xed\xa0\x80"));
  write(folder / "dequantize" / "ramp", std::string(512, '\x3c'));
  write(folder / "sampler" / "zeros", std::string(64, '\0'));
  write(folder / "sampler" / "sixteens", std::string(512, '\x11'));
  using namespace std::string_view_literals;
  write(folder / "options" / "generate",
        "-m\0m.gguf\0-p\0x\0-n\0"
        "5\0--temp\0"
        "0.5\0--top_k=3\0--stop\0a\0--logit-bias\0"
        "1+2"sv);
  write(folder / "options" / "tokenize", "tokenize\0-m\0m.gguf\0--ids\0text"sv);
  write(folder / "options" / "info", "info\0m.gguf\0--json"sv);
  write(folder / "options" / "other",
        "--samplers\0top_k;temperature\0--device\0cuda:1\0--timeout\0"
        "5\0--man"sv);
}

}  // namespace
}  // namespace haikuda::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: fuzz_seeds DIR\n");
    return 2;
  }
  haikuda::fuzz::write_all(argv[1]);
}
