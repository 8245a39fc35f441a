// Device memory for tests of single ops: between two guard bands, and NaN until something is
// written.
#pragma once

#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

#include "base/tensor_view.h"
#include "cuda/device_tensor.h"
#include "cuda/layout.h"
#include "cuda/ops.h"
#include "cuda/resources.h"
#include "support/catch.h"

namespace haikuda::test {

// HAIKUDA_THIN is set, as under compute-sanitizer: each kernel is to be seen at work with each
// type, not with each shape. Tests that run there have the tag [sanitize].
inline bool is_thin() {
  static const bool is = std::getenv("HAIKUDA_THIN") != nullptr;
  return is;
}

inline const cuda::Stream& test_stream() {
  static const cuda::Stream stream = cuda::Stream::create();
  return stream;
}

// All bytes are 0xff at first: NaN as float, half and bfloat16.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size) : size_(size), bytes_(size * sizeof(T) + 2 * kGuard) {
    fill_bytes(std::vector<std::byte>(bytes_.size(), std::byte{0xff}), 0);
  }
  explicit DeviceArray(std::span<const T> values) : DeviceArray(values.size()) { write(values); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(std::span<const T>(values)) {}

  T* data() const { return reinterpret_cast<T*>(bytes_.data() + kGuard); }
  std::size_t size() const { return size_; }

  void write(std::span<const T> values) const {
    const auto raw = std::as_bytes(values);
    fill_bytes({raw.begin(), raw.end()}, kGuard);
  }

  // Waits for the stream; fails the test when something was written outside of the array.
  std::vector<T> read() const {
    std::vector<std::byte> raw(bytes_.size());
    bytes_.download(raw, test_stream().get());
    test_stream().synchronize();
    for (std::size_t i = 0; i < kGuard; ++i)
      if (raw[i] != std::byte{0xff} || raw[raw.size() - 1 - i] != std::byte{0xff}) {
        CAPTURE(i);
        FAIL("a guard band was overwritten");
      }
    std::vector<T> out(size_);
    std::memcpy(out.data(), raw.data() + kGuard, size_ * sizeof(T));
    return out;
  }

 private:
  static constexpr std::size_t kGuard = 1024;  // bytes; keeps the alignment of 256

  void fill_bytes(const std::vector<std::byte>& values, std::size_t offset) const {
    bytes_.upload(values, test_stream().get(), offset);
    test_stream().synchronize();
  }

  std::size_t size_;
  cuda::DeviceBuffer<std::byte> bytes_;
};

// A matrix of any type on the device and on the host.
struct TestMatrix {
  TestMatrix(DType dtype, int rows, int cols, std::vector<std::byte> data)
      : bytes(std::move(data)),
        on_device(cuda::matrix_bytes(dtype, rows, cols)),
        host{"w", dtype, rows, cols, bytes.data()},
        device{dtype, rows, cols, on_device.data()} {
    const DeviceArray<std::byte> file(bytes);
    if (cuda::is_repacked(dtype)) {
      // In two parts that end within a row.
      const std::int64_t n = host.size() / dtype_info(dtype).block_elems, half = (n + 1) / 2;
      const auto half_bytes = static_cast<std::size_t>(half * dtype_info(dtype).block_bytes);
      const DeviceArray<std::byte> rest(std::span<const std::byte>(bytes).subspan(half_bytes));
      cuda::repack(device, file.data(), 0, half, test_stream().get());
      if (n > half) cuda::repack(device, rest.data(), half, n - half, test_stream().get());
    } else {
      on_device.write(bytes);
    }
    (void)on_device.read();  // its guard bands
  }
  TestMatrix(const TestMatrix&) = delete;
  TestMatrix& operator=(const TestMatrix&) = delete;

  std::vector<std::byte> bytes;
  DeviceArray<std::byte> on_device;
  TensorView host;
  cuda::DeviceTensor device;
};

}  // namespace haikuda::test
