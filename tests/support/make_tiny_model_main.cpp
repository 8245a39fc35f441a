// make_tiny_model ARCH DTYPE OUT.gguf [options]: writes a tiny_model.h for the scripts.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>

#include "base/error.h"
#include "support/tiny_model.h"

namespace {

using haikuda::DType;
using haikuda::test::TinyModelOptions;
using haikuda::test::TinyRope;

constexpr const char* kUsage =
    "usage: make_tiny_model ARCH DTYPE OUT.gguf [--layers N --embd N --heads N --kv-heads N "
    "--head-dim N\n"
    "       --ff N --ctx N --untied --rope none|linear|yarn|llama3 --seed N --embd-type T "
    "--escapes]\n";

DType parse_dtype(const std::string& name) {
  for (const haikuda::DTypeInfo& info : haikuda::all_dtypes())
    if (name == info.name) return info.dtype;
  throw std::invalid_argument("unknown type " + name);
}

TinyRope parse_rope(const std::string& name) {
  if (name == "none") return TinyRope::none;
  if (name == "linear") return TinyRope::linear;
  if (name == "yarn") return TinyRope::yarn;
  if (name == "llama3") return TinyRope::llama3;
  throw std::invalid_argument("unknown rope scaling " + name);
}

void set_option(TinyModelOptions& o, const std::string& flag, const std::string& value) {
  if (flag == "--rope") {
    o.rope = parse_rope(value);
    return;
  }
  if (flag == "--embd-type") {
    o.embedding_dtype = parse_dtype(value);
    return;
  }
  const int n = std::stoi(value);
  if (flag == "--layers")
    o.n_layers = n;
  else if (flag == "--embd")
    o.n_embd = n;
  else if (flag == "--heads")
    o.n_heads = n;
  else if (flag == "--kv-heads")
    o.n_kv_heads = n;
  else if (flag == "--head-dim")
    o.head_dim = n;
  else if (flag == "--ff")
    o.n_ff = n;
  else if (flag == "--ctx")
    o.n_ctx = n;
  else if (flag == "--seed")
    o.seed = static_cast<std::uint64_t>(n);
  else
    throw std::invalid_argument("unknown option " + flag);
}

void run(int argc, char** argv) {
  TinyModelOptions o;
  o.architecture = argv[1];
  o.dtype = parse_dtype(argv[2]);
  for (int i = 4; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--untied" || flag == "--escapes") {
      (flag == "--untied" ? o.tied : o.escapes) = flag == "--escapes";
      continue;
    }
    if (i + 1 == argc) throw std::invalid_argument(flag + " needs a value");
    set_option(o, flag, argv[++i]);
  }
  const std::vector<std::byte> bytes = haikuda::test::make_tiny_model(o);
  std::ofstream out(argv[3], std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
  if (!out.flush()) throw std::runtime_error(std::string("cannot write ") + argv[3]);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  try {
    run(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "make_tiny_model: %s\n", error.what());
    return 2;
  }
  return 0;
}
