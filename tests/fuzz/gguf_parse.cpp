// Any bytes as a GGUF file: an Error, or tensors that lie inside the bytes.
#include "fuzz_target.h"
#include "gguf/model_files.h"

namespace haikuda::fuzz {

void fuzz_gguf_parse(Bytes bytes) {
  expect_result_or_error({ExitCode::model_file, ExitCode::unsupported}, [&] {
    const GgufFile file = parse_gguf(bytes, "fuzz.gguf");
    require(file.data_offset <= bytes.size() || file.tensors.empty(),
            "the data begins inside the file");
    for (const TensorView& t : file.tensors) {
      require(t.rows > 0 && t.cols > 0, "a tensor has elements");
      require(t.data >= bytes.data() && t.bytes() <= bytes.size() &&
                  static_cast<std::size_t>(t.data - bytes.data()) <= bytes.size() - t.bytes(),
              "tensor " + t.name + " lies inside the file");
    }
    for (const std::string& key : file.metadata.keys())
      require(file.metadata.contains(key), "a key is found");
  });
  expect_result_or_error({ExitCode::model_file, ExitCode::unsupported},
                         [&] { open_model_bytes(bytes, "fuzz.gguf"); });
}

}  // namespace haikuda::fuzz
