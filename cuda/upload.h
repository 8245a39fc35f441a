// Tensors on their way from the model's file to device memory, behind their owner's back. Threads
// read the file into page-locked buffers of their own, from which the device fetches it: neither
// one core's copying nor the faults of the map limit it.
#pragma once

#include <memory>
#include <vector>

#include "base/part_workers.h"
#include "base/tensor_view.h"
#include "base/timeline.h"
#include "cuda/resources.h"
#include "gguf/model_files.h"

namespace haikuda::cuda {

enum class UploadForm {
  as_in_file,
  planes,  // repacked on the device, as cuda/layout.h says
  floats   // a vector as F32
};

struct UploadTensor {
  TensorView from;  // in the model's files
  std::byte* to;    // on the device, not overlapping another's
  UploadForm form;
};

class Upload {
 public:
  // Begins, on the calling thread's device. `files`, what the tensors view and where they go
  // outlive this. The timeline, which may be null, is told of it in wait().
  Upload(std::vector<UploadTensor> tensors, const ModelFiles& files, Timeline* timeline);
  // Ends it where it is.
  ~Upload();
  // Until everything is on the device. Throws what went wrong: Error(model_file) for a file that
  // has shrunk, an error of the device.
  void wait();
  // Device memory that it takes while it runs, at most.
  static constexpr std::size_t kMostBytes = std::size_t{16} << 20;

 private:
  // A stretch of a tensor, in bytes of the file, that is small enough for a buffer.
  struct Part {
    const UploadTensor* tensor;
    std::size_t first, n;
  };
  class Reader;
  std::vector<Part> cut() const;
  void read_parts(PartQueue& parts, int reader);

  std::vector<UploadTensor> tensors_;
  const ModelFiles& files_;
  Timeline* timeline_;
  Timeline::Clock::time_point begin_ = Timeline::Clock::now();
  int device_ = 0;
  std::vector<Part> parts_;
  std::vector<std::unique_ptr<Reader>> readers_;  // each made and used by its thread
  std::unique_ptr<PartWorkers> workers_;          // destroyed first
};

}  // namespace haikuda::cuda
