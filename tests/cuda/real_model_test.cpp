// A real model file, named by HAIKUDA_TEST_MODEL: the CPU's logits and its greedy text.
#include <chrono>
#include <cstdlib>

#include "model_pair.h"
#include "support/catch.h"

namespace haikuda::test {
namespace {

constexpr float kNearTie = 1e-3f;

}  // namespace

TEST_CASE("real model: cuda matches cpu over a prompt and 128 greedy tokens", "[cuda][real]") {
  const char* path = std::getenv("HAIKUDA_TEST_MODEL");
  if (path == nullptr) HAIKUDA_SKIP("HAIKUDA_TEST_MODEL is not set");
  const Model model(open_model_files(path));
  const int n_ctx = 1024;
  const auto cpu = make_cpu_backend(model, {.n_ctx = n_ctx, .half_cache = true});
  const auto gpu = make_cuda_backend(model, {.n_ctx = n_ctx});
  for (const int n_prompt : {1, 3, 12, 200}) {
    CAPTURE(n_prompt);
    cpu->truncate(0);
    gpu->truncate(0);
    // Ordinary words have low ids.
    const std::vector<int> prompt =
        random_tokens(n_prompt, std::min(model.config.n_vocab, 5000), 17);
    const Agreement a = compare_greedy(*cpu, *gpu, prompt, n_prompt == 12 ? 128 : 8, kNearTie);
    WARN(model.description() << ", prompt of " << n_prompt << ": logits NMSE " << a.nmse
                             << ", worst " << a.worst_nmse);
    CHECK(a.worst_nmse <= 1e-5);
    for (const std::string& tie : a.near_ties) WARN("near-tie: " << tie);
    for (const std::string& difference : a.differences) FAIL_CHECK(difference);
  }
}

TEST_CASE("real model: tokens a second", "[cuda][real]") {
  const char* path = std::getenv("HAIKUDA_TEST_MODEL");
  if (path == nullptr) HAIKUDA_SKIP("HAIKUDA_TEST_MODEL is not set");
  const Model model(open_model_files(path));
  const auto gpu = make_cuda_backend(model, {.n_ctx = 1024});
  const auto seconds = [](auto&& work) {
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const std::vector<int> prompt = random_tokens(512, std::min(model.config.n_vocab, 5000), 1);
  gpu->append(prompt);  // warm
  (void)gpu->argmax();
  gpu->truncate(0);
  const double prefill_s = seconds([&] { gpu->append(prompt), (void)gpu->argmax(); });
  const double decode_s = seconds([&] {
    for (int i = 0; i < 128; ++i) {
      const std::vector<int> next = {gpu->argmax()};
      gpu->append(next);
    }
    (void)gpu->argmax();
  });
  WARN(model.description() << ": prefill " << 512 / prefill_s << " tokens/s, decode "
                           << 128 / decode_s << " tokens/s");
  CHECK(decode_s > 0);
}

}  // namespace haikuda::test
