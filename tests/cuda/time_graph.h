// Times what is put on a stream as a CUDA graph, for the benches.
#pragma once

#include <algorithm>
#include <functional>

#include "cuda/resources.h"

namespace haikuda::cuda {

// Microseconds that a graph of what `enqueue` enqueues takes, the least of several.
inline double time_graph_us(const Stream& stream, const std::function<void()>& enqueue) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaEvent_t start = nullptr, end = nullptr;
  CUDA_CHECK(cudaStreamBeginCapture(stream.get(), cudaStreamCaptureModeThreadLocal));
  enqueue();
  CUDA_CHECK(cudaStreamEndCapture(stream.get(), &graph));
  CUDA_CHECK(cudaGraphInstantiate(&exec, graph, 0));
  CUDA_CHECK(cudaEventCreate(&start));
  CUDA_CHECK(cudaEventCreate(&end));
  float best_ms = 1e30f;
  for (int run = 0; run < 8; ++run) {
    CUDA_CHECK(cudaEventRecord(start, stream.get()));
    CUDA_CHECK(cudaGraphLaunch(exec, stream.get()));
    CUDA_CHECK(cudaEventRecord(end, stream.get()));
    stream.synchronize();
    float ms = 0;
    CUDA_CHECK(cudaEventElapsedTime(&ms, start, end));
    if (run > 1) best_ms = std::min(best_ms, ms);
  }
  CUDA_CHECK(cudaEventDestroy(start));
  CUDA_CHECK(cudaEventDestroy(end));
  CUDA_CHECK(cudaGraphExecDestroy(exec));
  CUDA_CHECK(cudaGraphDestroy(graph));
  return 1000 * static_cast<double>(best_ms);
}

}  // namespace haikuda::cuda
