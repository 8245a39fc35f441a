// Tensors of a file against what lies on the device afterwards.
#include <unistd.h>

#include <algorithm>
#include <string>

#include "cuda/upload.h"
#include "device_array.h"
#include "model/weights.h"
#include "quant/dequantize.h"
#include "support/expect_error.h"
#include "support/random.h"
#include "support/random_blocks.h"
#include "support/temp_dir.h"

namespace haikuda::test {
namespace {

// Bytes as a file of a model that has no header.
struct RawModel {
  explicit RawModel(const std::vector<std::byte>& bytes) : path(folder.write("model", bytes)) {
    files.maps.emplace_back(path);
  }
  TensorView view(DType dtype, std::int64_t rows, std::int64_t cols, std::size_t offset = 0) const {
    return {"t", dtype, rows, cols, files.maps[0].bytes().data() + offset};
  }

  TempDir folder;
  std::string path;
  ModelFiles files;
};

void upload(const RawModel& model, std::vector<cuda::UploadTensor> tensors) {
  cuda::Upload upload(std::move(tensors), model.files, nullptr);
  upload.wait();
}

}  // namespace

TEST_CASE("upload: tensors of any size and place arrive as they are", "[cuda][ops][upload]") {
  std::vector<std::byte> bytes(9'000'000);
  Random random(5);
  for (std::byte& b : bytes) b = static_cast<std::byte>(random.integer(0, 255));
  const RawModel model(bytes);
  std::vector<cuda::UploadTensor> tensors;
  std::vector<std::unique_ptr<DeviceArray<std::byte>>> arrived;
  std::vector<std::span<const std::byte>> sent;
  std::size_t offset = 0;
  for (const std::size_t elems : {1, 7, 524287, 524288, 524289, 1500001, 3, 1200000}) {
    const std::size_t n = 2 * elems;  // of F16
    arrived.push_back(std::make_unique<DeviceArray<std::byte>>(n));
    tensors.push_back({model.view(DType::F16, 1, static_cast<std::int64_t>(elems), offset),
                       arrived.back()->data(), cuda::UploadForm::as_in_file});
    sent.push_back(std::span(bytes).subspan(offset, n));
    offset += n + 5;
  }
  upload(model, std::move(tensors));
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CAPTURE(i, sent[i].size());
    const auto got = arrived[i]->read();
    CHECK(std::equal(got.begin(), got.end(), sent[i].begin(), sent[i].end()));
  }
}

TEST_CASE("upload: repacked in parts as at once", "[cuda][ops][upload]") {
  for (const DTypeInfo& type : all_dtypes()) {
    if (!cuda::is_repacked(type.dtype)) continue;
    const int rows = 3001, cols = 1536;
    CAPTURE(type.name);
    const TestMatrix w(type.dtype, rows, cols, random_weights(type.dtype, rows, cols, 0.05f, 3));
    const RawModel model(w.bytes);
    const DeviceArray<std::byte> arrived(cuda::matrix_bytes(type.dtype, rows, cols));
    upload(model, {{model.view(type.dtype, rows, cols), arrived.data(), cuda::UploadForm::planes}});
    CHECK(arrived.read() == w.on_device.read());
  }
}

TEST_CASE("upload: vectors become floats", "[cuda][ops][upload][sanitize]") {
  const DType type = GENERATE(DType::F32, DType::F16, DType::BF16);
  const int n = GENERATE(1, 896, 262143, 262145, 700001);
  if (is_thin() && n != 896) return;
  CAPTURE(dtype_name(type), n);
  const RawModel model(random_weights(type, 1, n, 1.0f, 3));
  const DeviceArray<float> arrived(static_cast<std::size_t>(n));
  upload(model, {{model.view(type, 1, n), reinterpret_cast<std::byte*>(arrived.data()),
                  cuda::UploadForm::floats}});
  CHECK(arrived.read() == to_float(model.view(type, 1, n)));
}

TEST_CASE("upload: a file that shrank is an error of the model", "[cuda][upload]") {
  const RawModel model(std::vector<std::byte>(8'000'000));
  const DeviceArray<std::byte> to(8'000'000);
  REQUIRE(::truncate(model.path.c_str(), 5'000'000) == 0);
  const Error e = error_of([&] {
    upload(model,
           {{model.view(DType::F16, 1, 4'000'000), to.data(), cuda::UploadForm::as_in_file}});
  });
  CHECK(e.code() == ExitCode::model_file);
}

TEST_CASE("upload: one that nobody waits for ends, and what it was to fill stays whole",
          "[cuda][upload]") {
  const RawModel model(std::vector<std::byte>(32'000'000));
  const DeviceArray<std::byte> to(32'000'000);
  {
    const cuda::Upload dropped(
        {{model.view(DType::F16, 1, 16'000'000), to.data(), cuda::UploadForm::as_in_file}},
        model.files, nullptr);
  }
  (void)to.read();  // its guard bands
}

TEST_CASE("upload: a model in memory, and nothing at all", "[cuda][upload]") {
  std::vector<std::byte> bytes(3'000'000, std::byte{7});
  const DeviceArray<std::byte> to(bytes.size());
  ModelFiles files;
  cuda::Upload from_memory(
      {{{"t", DType::F16, 1, 1'500'000, bytes.data()}, to.data(), cuda::UploadForm::as_in_file}},
      files, nullptr);
  from_memory.wait();
  CHECK(to.read() == bytes);
  cuda::Upload nothing({}, files, nullptr);
  nothing.wait();
}

}  // namespace haikuda::test
