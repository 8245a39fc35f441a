#include "cuda/cublas_lt.h"

#include <dlfcn.h>

#include <array>
#include <cstdlib>
#include <string>

#include "cuda/check.h"

namespace haikuda::cuda {
namespace {

// What is used of cuBLASLt has the same interface in both versions.
constexpr std::array kNames = {"libcublasLt.so.13", "libcublasLt.so.12"};

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

// The alignment that all three matrices have, up to what cudaMalloc gives.
unsigned alignment_of(const CublasLt::Product& p) {
  const auto bits = reinterpret_cast<std::uintptr_t>(p.x) | reinterpret_cast<std::uintptr_t>(p.y) |
                    reinterpret_cast<std::uintptr_t>(p.w) | 256u;
  return static_cast<unsigned>(bits & (~bits + 1));
}

}  // namespace

struct CublasLt::Functions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmulDescCreate) create_operation;
  decltype(&cublasLtMatmulDescDestroy) destroy_operation;
  decltype(&cublasLtMatmulDescSetAttribute) set_operation;
  decltype(&cublasLtMatrixLayoutCreate) create_layout;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithm;
  decltype(&cublasLtMatmul) multiply;
  decltype(&cublasLtGetStatusString) status_string;

  // False when a function is missing.
  bool load(void* library) {
    return load(library, create, "cublasLtCreate") && load(library, destroy, "cublasLtDestroy") &&
           load(library, create_operation, "cublasLtMatmulDescCreate") &&
           load(library, destroy_operation, "cublasLtMatmulDescDestroy") &&
           load(library, set_operation, "cublasLtMatmulDescSetAttribute") &&
           load(library, create_layout, "cublasLtMatrixLayoutCreate") &&
           load(library, destroy_layout, "cublasLtMatrixLayoutDestroy") &&
           load(library, create_preference, "cublasLtMatmulPreferenceCreate") &&
           load(library, destroy_preference, "cublasLtMatmulPreferenceDestroy") &&
           load(library, set_preference, "cublasLtMatmulPreferenceSetAttribute") &&
           load(library, find_algorithm, "cublasLtMatmulAlgoGetHeuristic") &&
           load(library, multiply, "cublasLtMatmul") &&
           load(library, status_string, "cublasLtGetStatusString");
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

CublasLt::CublasLt(std::unique_ptr<Functions> functions, const DeviceBuffer<std::byte>& workspace)
    : functions_(std::move(functions)), workspace_(workspace) {
  CUBLAS_CHECK(functions_->create(&handle_));
}

CublasLt::~CublasLt() {
  plans_.clear();
  (void)functions_->destroy(handle_);
}

std::unique_ptr<CublasLt> CublasLt::open(const DeviceBuffer<std::byte>& workspace) {
  void* library = open_library();
  auto functions = std::make_unique<Functions>();
  if (library == nullptr || !functions->load(library)) return nullptr;
  return std::unique_ptr<CublasLt>(new CublasLt(std::move(functions), workspace));
}

template <class Handle, class Make, class... Arguments>
CublasLt::Owner<Handle> CublasLt::create(cublasStatus_t (*destroy)(Handle),
                                         Make make,
                                         Arguments... arguments) const {
  Handle handle = nullptr;
  CUBLAS_CHECK(make(&handle, arguments...));
  return {handle, destroy};
}

// GGUF stores matrices row-major and cuBLAS reads column-major, where a row-major (rows, cols) is a
// (cols, rows) of leading dimension cols: so w is passed as it lies and transposed, x as it lies,
// and yᵀ = w · xᵀ comes out as y.
const CublasLt::Plan& CublasLt::plan_for(const Product& p) {
  const unsigned alignment = alignment_of(p);
  const Key key{p.type,     p.y_type,       p.n,      p.rows, p.cols, p.x_stride,
                p.y_stride, p.beta != 0.0f, alignment};
  if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
  return plans_.emplace(key, make_plan(p, alignment)).first->second;
}

CublasLt::Plan CublasLt::make_plan(const Product& p, unsigned alignment) const {
  const auto n = static_cast<std::uint64_t>(p.n), rows = static_cast<std::uint64_t>(p.rows),
             cols = static_cast<std::uint64_t>(p.cols);
  const auto layout = [&](cudaDataType_t type, std::uint64_t height, std::uint64_t width,
                          int stride) {
    return create(functions_->destroy_layout, functions_->create_layout, type, height, width,
                  std::int64_t{stride});
  };
  Plan plan{.operation = create(functions_->destroy_operation, functions_->create_operation,
                                CUBLAS_COMPUTE_32F, CUDA_R_32F),
            .w = layout(p.type, cols, rows, p.cols),
            .x = layout(p.type, cols, n, p.x_stride),
            .y = layout(p.y_type, rows, n, p.y_stride)};
  const cublasOperation_t transposed = CUBLAS_OP_T;
  CUBLAS_CHECK(functions_->set_operation(plan.operation.get(), CUBLASLT_MATMUL_DESC_TRANSA,
                                         &transposed, sizeof transposed));
  choose_algorithm(plan, alignment);
  return plan;
}

void CublasLt::choose_algorithm(Plan& plan, unsigned alignment) const {
  const auto preference = create(functions_->destroy_preference, functions_->create_preference);
  const std::size_t workspace_bytes = workspace_.bytes();
  CUBLAS_CHECK(functions_->set_preference(preference.get(),
                                          CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                          &workspace_bytes, sizeof workspace_bytes));
  for (const cublasLtMatmulPreferenceAttributes_t attribute :
       {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
    const std::uint32_t bytes = alignment;
    CUBLAS_CHECK(functions_->set_preference(preference.get(), attribute, &bytes, sizeof bytes));
  }
  cublasLtMatmulHeuristicResult_t result{};
  int n_found = 0;
  CUBLAS_CHECK(functions_->find_algorithm(handle_, plan.operation.get(), plan.w.get(), plan.x.get(),
                                          plan.y.get(), plan.y.get(), preference.get(), 1, &result,
                                          &n_found));
  CUBLAS_CHECK(n_found > 0 ? result.state : CUBLAS_STATUS_NOT_SUPPORTED);
  plan.algorithm = result.algo;
  plan.workspace_bytes = result.workspaceSize;
}

void CublasLt::multiply(const Product& p, cudaStream_t stream) {
  const Plan& plan = plan_for(p);
  CUBLAS_CHECK(functions_->multiply(handle_, plan.operation.get(), &p.alpha, p.w, plan.w.get(), p.x,
                                    plan.x.get(), &p.beta, p.y, plan.y.get(), p.y, plan.y.get(),
                                    &plan.algorithm, workspace_.data(), plan.workspace_bytes,
                                    stream));
}

}  // namespace haikuda::cuda
