// GPU memory that runs out at every point: each allocation of device and of page-locked memory
// fails in turn, and the run ends with exit code 6 and nothing left. The linker puts the functions
// below between our code and the CUDA runtime (--wrap in CMakeLists.txt).
#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>
#include <optional>
#include <vector>

#include "base/error.h"
#include "model_pair.h"
#include "support/catch.h"

namespace haikuda::test {
namespace {

// Uploads have threads of their own.
std::atomic<long> n_allocations{0}, n_live{0}, failing{0};  // failing: which one, 0 none

bool fails_now() {
  return ++n_allocations == failing;
}

cudaError_t counted(cudaError_t status) {
  if (status == cudaSuccess) ++n_live;
  return status;
}

void begin(long which) {
  n_allocations = 0;
  failing = which;
}

// Load, a prompt in chunks, three tokens: the last logits.
std::vector<float> run(const TinyModel& tiny) {
  const auto gpu = tiny.on_cuda(64, 8);
  gpu->append(random_tokens(20, tiny.model.config.n_vocab, 5));
  for (int i = 0; i < 3; ++i) {
    const std::vector<int> next = {gpu->argmax()};
    gpu->append(next);
  }
  return copy_of(gpu->logits());
}

// Nothing: it was answered.
std::optional<ExitCode> end_of(const TinyModel& tiny, std::vector<float>& logits) {
  try {
    logits = run(tiny);
    return std::nullopt;
  } catch (const Error& e) {
    return e.code();
  }
}

void fail_each(const TinyModel& tiny, const char* name) {
  const std::vector<float> want = run(tiny);  // and whatever is made once is made
  begin(0);
  REQUIRE(run(tiny) == want);
  const long n = n_allocations;
  REQUIRE(n > 0);
  const long live = n_live;
  long n_refused = 0;
  for (long at = 1; at <= n; ++at) {
    CAPTURE(name, at);
    begin(at);
    std::vector<float> got;
    const auto code = end_of(tiny, got);
    begin(0);
    if (code) {
      CHECK(*code == ExitCode::out_of_memory);
      ++n_refused;
    } else {
      CHECK(got == want);
    }
    CHECK(n_live == live);
  }
  CHECK(n_refused > n / 2);
  REQUIRE(run(tiny) == want);
  std::printf("%s: allocations on the GPU failed: %ld, out of memory %ld, went on %ld, leaked 0\n",
              name, n, n_refused, n - n_refused);
}

}  // namespace

TEST_CASE("model: every allocation on the GPU fails in turn", "[cuda][model][faults]") {
  fail_each(TinyModel({.architecture = "qwen2", .dtype = DType::F16}), "F16");
  fail_each(TinyModel({.architecture = "llama", .dtype = DType::Q4_K}), "Q4_K");
}

}  // namespace haikuda::test

// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" {

cudaError_t __real_cudaMalloc(void** p, size_t size);
cudaError_t __wrap_cudaMalloc(void** p, size_t size) {
  using namespace haikuda::test;
  return fails_now() ? cudaErrorMemoryAllocation : counted(__real_cudaMalloc(p, size));
}

cudaError_t __real_cudaMallocHost(void** p, size_t size);
cudaError_t __wrap_cudaMallocHost(void** p, size_t size) {
  using namespace haikuda::test;
  return fails_now() ? cudaErrorMemoryAllocation : counted(__real_cudaMallocHost(p, size));
}

cudaError_t __real_cudaFree(void* p);
cudaError_t __wrap_cudaFree(void* p) {
  if (p != nullptr) --haikuda::test::n_live;
  return __real_cudaFree(p);
}

cudaError_t __real_cudaFreeHost(void* p);
cudaError_t __wrap_cudaFreeHost(void* p) {
  if (p != nullptr) --haikuda::test::n_live;
  return __real_cudaFreeHost(p);
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
