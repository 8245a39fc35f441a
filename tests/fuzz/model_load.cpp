// Any bytes as a model: an Error, or one that answers to a token on the CPU.
#include <memory>
#include <new>

#include "cpu/cpu_backend.h"
#include "fuzz_target.h"
#include "model/model.h"

namespace haikuda::fuzz {
namespace {

// A map begins at a page; the parser lets a file count on that.
constexpr std::align_val_t kAlignment{64};

struct FreeAligned {
  void operator()(std::byte* p) const { ::operator delete(p, kAlignment); }
};

void load_and_append(Bytes bytes) {
  const Model model(open_model_bytes(bytes, "fuzz.gguf"));
  require(printable(model.description()) == model.description(), "a raw byte in the description");
  const auto backend = make_cpu_backend(model, {.n_ctx = 2, .n_threads = 1, .chunk = 2});
  const int last = model.config.n_vocab - 1;
  backend->append(std::initializer_list<int>{0, last});
  require(backend->logits().size() == static_cast<std::size_t>(model.config.n_vocab),
          "a logit for each token");
  const int token = backend->argmax();
  require(token >= 0 && token <= last, "the token is of the vocabulary");
}

}  // namespace

void fuzz_model_load(Bytes bytes) {
  const std::unique_ptr<std::byte, FreeAligned> copy(
      static_cast<std::byte*>(::operator new(bytes.size(), kAlignment)));
  std::copy(bytes.begin(), bytes.end(), copy.get());
  expect_result_or_error(
      {ExitCode::model_file, ExitCode::unsupported, ExitCode::out_of_memory, ExitCode::gpu_fault},
      [&] {
        load_and_append({copy.get(), bytes.size()});
      });
}

}  // namespace haikuda::fuzz
