// Feeds every file of DIR/<target>/ to its target, without libFuzzer: the seeds and all that was
// ever found.
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz_target.h"

namespace haikuda::fuzz {
namespace {

namespace fs = std::filesystem;

struct Target {
  const char* name;
  void (*run)(Bytes);
};
constexpr Target kTargets[] = {{"gguf_parse", fuzz_gguf_parse},
                               {"model_load", fuzz_model_load},
                               {"dequantize", fuzz_dequantize},
                               {"tokenizer", fuzz_tokenizer},
                               {"tokenizer_metadata", fuzz_tokenizer_metadata},
                               {"detokenizer", fuzz_detokenizer},
                               {"chat_template", fuzz_chat_template},
                               {"sampler", fuzz_sampler},
                               {"options", fuzz_options}};

std::vector<char> read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

bool is_kept(const Target& target, const fs::path& path) {
  const std::vector<char> bytes = read(path);
  try {
    target.run(std::as_bytes(std::span(bytes)));
    return true;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", path.c_str(), e.what());
    return false;
  }
}

// A target without inputs would be a test that tests nothing, so that counts as a failure too.
int replay(const fs::path& corpus) {
  int n_files = 0, n_failed = 0;
  for (const Target& target : kTargets) {
    int n = 0;
    for (const auto& entry : fs::directory_iterator(corpus / target.name)) {
      if (!entry.is_regular_file()) continue;
      // What was running when the process dies.
      std::fprintf(stderr, "%s/%s\n", target.name, entry.path().filename().c_str());
      ++n;
      if (!is_kept(target, entry.path())) ++n_failed;
    }
    std::printf("%-20s %4d inputs\n", target.name, n);
    if (n == 0) ++n_failed;
    n_files += n;
  }
  std::printf("%d inputs, %d failed\n", n_files, n_failed);
  return n_failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace haikuda::fuzz

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: haikuda_fuzz_replay DIR\n");
    return 2;
  }
  return haikuda::fuzz::replay(argv[1]);
}
