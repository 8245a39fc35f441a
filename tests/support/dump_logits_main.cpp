// dump_logits: token ids, greedy continuations and F32 logits of many prompts, for
// scripts/parity.py.
//
//   haikuda_dump_logits MODEL.gguf --prompts FILE.json --out FILE [--device cpu|cuda] [--chunk N]
//   [--threads N] [--n N]
//
// FILE.json is an array of {"name": …, "text": …, "parse_special": false} or {"name": …, "ids":
// […]}. OUT receives for every prompt N rows of n_vocab floats, row i being what follows the prompt
// and i generated tokens; OUT.json says what they are. Generation goes on past end-of-generation
// tokens, so that every prompt has N rows.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "cpu/cpu_backend.h"
#include "cuda/cuda_backend.h"
#include "gguf/model_files.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace {

using namespace haikuda;
using nlohmann::json;

constexpr const char* kUsage =
    "usage: haikuda_dump_logits MODEL.gguf --prompts FILE.json --out FILE [--device cpu|cuda] "
    "[--chunk N]\n"
    "       [--threads N] [--n N]\n";

struct Arguments {
  std::string model, prompts, out, device = "cpu";
  int n = 64;  // rows of logits a prompt
  BackendOptions backend;
};

struct Prompt {
  std::string name;
  std::vector<int> ids;
};

Arguments parse_arguments(int argc, char** argv) {
  if (argc < 2) throw std::invalid_argument(kUsage);
  Arguments a;
  a.model = argv[1];
  for (int i = 2; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 == argc) throw std::invalid_argument(flag + " needs a value");
    const std::string value = argv[i + 1];
    if (flag == "--prompts")
      a.prompts = value;
    else if (flag == "--out")
      a.out = value;
    else if (flag == "--device")
      a.device = value;
    else if (flag == "--chunk")
      a.backend.chunk = std::stoi(value);
    else if (flag == "--threads")
      a.backend.n_threads = std::stoi(value);
    else if (flag == "--n")
      a.n = std::stoi(value);
    else
      throw std::invalid_argument("unknown option " + flag + "\n" + kUsage);
  }
  if (a.prompts.empty() || a.out.empty() || a.n < 1) throw std::invalid_argument(kUsage);
  return a;
}

std::vector<Prompt> read_prompts(const std::string& path, const Tokenizer& tokenizer) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error("cannot read " + path);
  std::vector<Prompt> prompts;
  for (const json& entry : json::parse(file)) {
    Prompt& prompt = prompts.emplace_back();
    prompt.name = entry.at("name").get<std::string>();
    if (entry.contains("ids")) {
      prompt.ids = entry["ids"].get<std::vector<int>>();
    } else {
      const EncodeOptions options{.add_special = true,
                                  .parse_special = entry.value("parse_special", false)};
      prompt.ids = tokenizer.encode(entry.at("text").get<std::string>(), options);
    }
    if (prompt.ids.empty()) throw std::runtime_error("prompt " + prompt.name + " has no tokens");
  }
  return prompts;
}

std::unique_ptr<Backend> load(const Model& model,
                              const Arguments& arguments,
                              std::size_t longest_prompt) {
  BackendOptions options = arguments.backend;
  options.n_ctx = static_cast<int>(longest_prompt) + arguments.n;
  if (arguments.device == "cpu") return make_cpu_backend(model, options);
  if (arguments.device == "cuda") return make_cuda_backend(model, options);
  throw std::invalid_argument("--device " + arguments.device + ": cpu or cuda is wanted");
}

// Writes n rows and returns the greedy tokens that they choose.
std::vector<int> generate_rows(Backend& backend,
                               const std::vector<int>& ids,
                               int n,
                               std::ofstream& out) {
  std::vector<int> tokens;
  backend.truncate(0);
  backend.append(ids);
  for (;;) {
    const auto logits = backend.logits();
    check_finite_logits(logits, backend.position());
    out.write(reinterpret_cast<const char*>(logits.data()),
              static_cast<std::streamsize>(logits.size_bytes()));
    tokens.push_back(backend.argmax());
    if (static_cast<int>(tokens.size()) == n) return tokens;
    backend.append({&tokens.back(), 1});
  }
}

void run(const Arguments& arguments) {
  const Model model(open_model_files(arguments.model));
  const auto tokenizer = Tokenizer::create(model.files.metadata);
  const std::vector<Prompt> prompts = read_prompts(arguments.prompts, *tokenizer);
  std::size_t longest = 0;
  for (const Prompt& prompt : prompts) longest = std::max(longest, prompt.ids.size());
  const auto backend = load(model, arguments, longest);

  std::ofstream out(arguments.out, std::ios::binary);
  json index = {{"model", model.description()},
                {"device", backend->device_name()},
                {"n_vocab", model.config.n_vocab},
                {"n_rows", arguments.n},
                {"prompts", json::array()}};
  for (const Prompt& prompt : prompts) {
    std::fprintf(stderr, "%s: %zu tokens\n", prompt.name.c_str(), prompt.ids.size());
    const std::vector<int> tokens = generate_rows(*backend, prompt.ids, arguments.n, out);
    index["prompts"].push_back({{"name", prompt.name},
                                {"ids", prompt.ids},
                                {"tokens", tokens},
                                {"text", tokenizer->decode(tokens, true)}});
  }
  std::ofstream index_out(arguments.out + ".json");
  index_out << index.dump(1, ' ', false, json::error_handler_t::replace) << '\n';
  if (!out.flush() || !index_out.flush()) throw std::runtime_error("cannot write " + arguments.out);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(parse_arguments(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "haikuda_dump_logits: %s\n", error.what());
    return 1;
  }
  return 0;
}
