#include "support/hostile_cases.h"

#include <utility>

#include "support/malformed_gguf.h"
#include "support/tiny_model.h"

namespace haikuda::test {

GgufWriter good_model(const std::string& architecture) {
  return tiny_model_writer({.architecture = architecture,
                            .dtype = DType::F32,
                            .n_embd = 32,
                            .n_heads = 4,
                            .n_kv_heads = 2,
                            .head_dim = 8,
                            .n_ff = 32,
                            .n_ctx = 128});
}

HostileCase model_case(std::string name,
                       const GgufWriter& model,
                       std::optional<ExitCode> code,
                       std::string message) {
  return {std::move(name), {{"model.gguf", model.finish()}}, code, std::move(message), {}};
}

std::vector<HostileCase> hostile_cases() {
  std::vector<HostileCase> out;
  for (GgufCase& c : malformed_gguf_cases()) {
    // What the parser accepts is no whole model, only something to look into.
    std::vector<std::string> arguments;
    if (!c.code) arguments = {"info", "{dir}/model.gguf"};
    if (c.bytes.empty()) c.message = "the file is empty";  // seen before there is a parser
    out.push_back({std::move(c.name),
                   {{"model.gguf", std::move(c.bytes)}},
                   c.code,
                   std::move(c.message),
                   std::move(arguments)});
  }
  for (const auto group : {hostile_configs, hostile_tensors, hostile_tokenizers, hostile_templates,
                           hostile_shards, hostile_texts})
    for (HostileCase& c : group()) out.push_back(std::move(c));
  return out;
}

}  // namespace haikuda::test
