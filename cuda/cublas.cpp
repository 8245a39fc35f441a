#include "cuda/cublas.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <string>

#include "cuda/check.h"

namespace haikuda::cuda {
namespace {

// What is used of cuBLAS has the same interface in both versions.
constexpr std::array kNames = {"libcublas.so.13", "libcublas.so.12"};

// Never closed: the driver may still hold its code when the process ends.
void* open_library() {
  for (const char* name : kNames)
    if (void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return library;
  // Where the loader does not look: the toolkit named by the environment, and the one this was
  // built with.
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = std::getenv(variable))
      for (const char* name : kNames)
        if (void* library =
                dlopen((std::string(home) + "/lib64/" + name).c_str(), RTLD_NOW | RTLD_LOCAL))
          return library;
#ifdef HAIKUDA_CUDA_LIBRARY_DIR
  for (const char* name : kNames)
    if (void* library = dlopen((std::string(HAIKUDA_CUDA_LIBRARY_DIR "/") + name).c_str(),
                               RTLD_NOW | RTLD_LOCAL))
      return library;
#endif
  return nullptr;
}

}  // namespace

struct Cublas::Functions {
  decltype(&cublasCreate_v2) create;
  decltype(&cublasDestroy_v2) destroy;
  decltype(&cublasSetStream_v2) set_stream;
  decltype(&cublasSetWorkspace_v2) set_workspace;
  cublasStatus_t (*gemm_ex)(cublasHandle_t,
                            cublasOperation_t,
                            cublasOperation_t,
                            int m,
                            int n,
                            int k,
                            const void* alpha,
                            const void* a,
                            cudaDataType,
                            int lda,
                            const void* b,
                            cudaDataType,
                            int ldb,
                            const void* beta,
                            void* c,
                            cudaDataType,
                            int ldc,
                            cublasComputeType_t,
                            cublasGemmAlgo_t);
  decltype(&cublasGetStatusString) status_string;

  // False when a function is missing.
  bool load(void* library) {
    return load(library, create, "cublasCreate_v2") && load(library, destroy, "cublasDestroy_v2") &&
           load(library, set_stream, "cublasSetStream_v2") &&
           load(library, set_workspace, "cublasSetWorkspace_v2") &&
           load(library, gemm_ex, "cublasGemmEx") &&
           load(library, status_string, "cublasGetStatusString");
  }
  void check(cublasStatus_t status, const char* call, const char* file, int line) const {
    if (status != CUBLAS_STATUS_SUCCESS)
      throw_cublas_error(status, status_string(status), call, file, line);
  }

 private:
  template <class Function>
  static bool load(void* library, Function& function, const char* name) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    return function != nullptr;
  }
};

#define CUBLAS_CHECK(call) functions_->check((call), #call, __FILE__, __LINE__)

Cublas::Cublas(std::unique_ptr<Functions> functions) : functions_(std::move(functions)) {
  CUBLAS_CHECK(functions_->create(&handle_));
}

Cublas::~Cublas() {
  (void)functions_->destroy(handle_);
}

std::unique_ptr<Cublas> Cublas::open(cudaStream_t stream,
                                     const DeviceBuffer<std::byte>& workspace) {
  void* library = open_library();
  auto functions = std::make_unique<Functions>();
  if (library == nullptr || !functions->load(library)) return nullptr;
  std::unique_ptr<Cublas> cublas(new Cublas(std::move(functions)));
  cublas->set_up(stream, workspace);
  return cublas;
}

// Setting the stream resets the workspace, so it comes first.
void Cublas::set_up(cudaStream_t stream, const DeviceBuffer<std::byte>& workspace) const {
  CUBLAS_CHECK(functions_->set_stream(handle_, stream));
  CUBLAS_CHECK(functions_->set_workspace(handle_, workspace.data(), workspace.bytes()));
}

// GGUF stores matrices row-major and cuBLAS reads column-major, where a row-major (rows, cols) is a
// (cols, rows) of leading dimension cols: so w is passed as it lies and transposed, x as it lies,
// and yᵀ = w · xᵀ comes out as y.
void Cublas::gemm(const Gemm& g) const {
  const float alpha = 1;
  CUBLAS_CHECK(functions_->gemm_ex(handle_, CUBLAS_OP_T, CUBLAS_OP_N, g.rows, g.n, g.cols, &alpha,
                                   g.w, g.type, g.cols, g.x, g.type, g.cols, &g.beta, g.y,
                                   CUDA_R_32F, g.rows, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

}  // namespace haikuda::cuda
