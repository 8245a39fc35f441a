// Matrix products by cuBLASLt, opened when a prompt first needs it: the program starts, decodes and
// runs on the CPU without the library.
#pragma once

#include <cublasLt.h>

#include <map>
#include <memory>
#include <tuple>
#include <type_traits>

#include "cuda/resources.h"

namespace haikuda::cuda {

class CublasLt {
 public:
  // Null when no libcublasLt of a known version is found. `workspace` outlives this and is used by
  // one stream.
  static std::unique_ptr<CublasLt> open(const DeviceBuffer<std::byte>& workspace);
  ~CublasLt();
  CublasLt(const CublasLt&) = delete;
  CublasLt& operator=(const CublasLt&) = delete;

  // Row-major y (n, rows) = alpha · x (n, cols) · wᵀ + beta · y, w (rows, cols); F32 sums. x and w
  // have one type, rows of x and y are x_stride and y_stride elements apart.
  struct Product {
    void* y;
    const void* x;
    const void* w;
    cudaDataType_t type, y_type;
    int n, rows, cols, x_stride, y_stride;
    float alpha, beta;
  };
  // Equal shapes and alignments take the same algorithm and give the same bits: it is asked for
  // once and depends on nothing else.
  void multiply(const Product& product, cudaStream_t stream);

 private:
  struct Functions;
  // A handle and the library's function that destroys it.
  template <class Handle>
  using Owner = std::unique_ptr<std::remove_pointer_t<Handle>, cublasStatus_t (*)(Handle)>;
  // How one shape is multiplied.
  struct Plan {
    Owner<cublasLtMatmulDesc_t> operation;
    Owner<cublasLtMatrixLayout_t> w, x, y;
    cublasLtMatmulAlgo_t algorithm{};
    std::size_t workspace_bytes = 0;
  };
  using Key = std::tuple<cudaDataType_t, cudaDataType_t, int, int, int, int, int, bool, unsigned>;
  CublasLt(std::unique_ptr<Functions> functions, const DeviceBuffer<std::byte>& workspace);
  const Plan& plan_for(const Product& product);
  Plan make_plan(const Product& product, unsigned alignment) const;
  template <class Handle, class Make, class... Arguments>
  Owner<Handle> create(cublasStatus_t (*destroy)(Handle), Make make, Arguments... arguments) const;
  void choose_algorithm(Plan& plan, unsigned alignment) const;

  std::unique_ptr<Functions> functions_;
  const DeviceBuffer<std::byte>& workspace_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, Plan> plans_;
};

}  // namespace haikuda::cuda
