// Owners of what CUDA hands out. Move-only; allocate at load, never inside an op.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <utility>

#include "cuda/check.h"

namespace haikuda::cuda {

// A CUDA handle and the function that destroys it.
template <class Handle, cudaError_t (*kDestroy)(Handle)>
class Owner {
 public:
  Owner() = default;
  explicit Owner(Handle handle) noexcept : handle_(handle) {}
  Owner(Owner&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Owner& operator=(Owner&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  Owner(const Owner&) = delete;
  Owner& operator=(const Owner&) = delete;
  ~Owner() {
    if (handle_ != nullptr) ignore_cuda(kDestroy(handle_));
  }
  Handle get() const { return handle_; }

 private:
  Handle handle_ = nullptr;
};

// Does not synchronise with the default stream, which nothing here uses.
struct Stream : Owner<cudaStream_t, cudaStreamDestroy> {
  static Stream create() {
    cudaStream_t stream = nullptr;
    CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return Stream{Owner(stream)};
  }
  void synchronize() const { CUDA_CHECK(cudaStreamSynchronize(get())); }
};

struct Event : Owner<cudaEvent_t, cudaEventDestroy> {
  static Event create() {
    cudaEvent_t event = nullptr;
    CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return Event{Owner(event)};
  }
  void record(cudaStream_t stream) const { CUDA_CHECK(cudaEventRecord(get(), stream)); }
  // Returns at once for an event that was never recorded.
  void synchronize() const { CUDA_CHECK(cudaEventSynchronize(get())); }
};

struct Graph : Owner<cudaGraph_t, cudaGraphDestroy> {
  // What `enqueue` puts on the stream, which is not executed now. Relaxed: a kernel may be loaded
  // at its first launch.
  template <class Enqueue>
  static Graph capture(cudaStream_t stream, Enqueue&& enqueue) {
    CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    cudaGraph_t captured = nullptr;
    try {
      enqueue();
    } catch (...) {
      ignore_cuda(cudaStreamEndCapture(stream, &captured));
      const Graph dropped{Owner(captured)};
      throw;
    }
    CUDA_CHECK(cudaStreamEndCapture(stream, &captured));
    return Graph{Owner(captured)};
  }
};

// Launches of a stream, captured once and replayed as they are.
struct GraphExec : Owner<cudaGraphExec_t, cudaGraphExecDestroy> {
  template <class Enqueue>
  static GraphExec capture(cudaStream_t stream, Enqueue&& enqueue) {
    const Graph graph = Graph::capture(stream, enqueue);
    cudaGraphExec_t exec = nullptr;
    CUDA_CHECK(cudaGraphInstantiate(&exec, graph.get(), 0));
    GraphExec out{Owner(exec)};
    CUDA_CHECK(cudaGraphUpload(exec, stream));
    return out;
  }
  void launch(cudaStream_t stream) const { CUDA_CHECK(cudaGraphLaunch(get(), stream)); }
};

// `size` elements of device memory, uninitialised, aligned to 256 bytes.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(std::size_t size) : size_(size) {
    void* p = nullptr;
    if (size > 0) CUDA_CHECK(cudaMalloc(&p, size * sizeof(T)));
    data_ = Owner<void*, cudaFree>(p);
  }
  T* data() const { return static_cast<T*>(data_.get()); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }

  void clear(cudaStream_t stream) const {
    if (size_ > 0) CUDA_CHECK(cudaMemsetAsync(data(), 0, bytes(), stream));
  }
  // Asynchronous where `values` is pinned; it must stay unchanged until the stream has passed the
  // copy.
  void upload(std::span<const T> values, cudaStream_t stream, std::size_t offset = 0) const {
    HAIKUDA_CHECK(offset <= size_ && values.size() <= size_ - offset);
    CUDA_CHECK(cudaMemcpyAsync(data() + offset, values.data(), values.size_bytes(),
                               cudaMemcpyHostToDevice, stream));
  }
  void download(std::span<T> values, cudaStream_t stream, std::size_t offset = 0) const {
    HAIKUDA_CHECK(offset <= size_ && values.size() <= size_ - offset);
    CUDA_CHECK(cudaMemcpyAsync(values.data(), data() + offset, values.size_bytes(),
                               cudaMemcpyDeviceToHost, stream));
  }

 private:
  Owner<void*, cudaFree> data_;
  std::size_t size_ = 0;
};

// Page-locked host memory, which copies run from and to without a detour.
template <class T>
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(std::size_t size) : size_(size) {
    void* p = nullptr;
    if (size > 0) CUDA_CHECK(cudaMallocHost(&p, size * sizeof(T)));
    data_ = Owner<void*, cudaFreeHost>(p);
  }
  T* data() const { return static_cast<T*>(data_.get()); }
  std::size_t size() const { return size_; }
  std::span<T> span() const { return {data(), size_}; }

 private:
  Owner<void*, cudaFreeHost> data_;
  std::size_t size_ = 0;
};

}  // namespace haikuda::cuda
