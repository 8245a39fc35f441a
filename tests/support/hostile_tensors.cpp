// Tensors that do not fit the model, and weights that are no numbers.
#include <algorithm>
#include <limits>

#include "support/hostile_cases.h"

namespace haikuda::test {
namespace {

constexpr ExitCode kBad = ExitCode::model_file;
constexpr std::uint32_t kF16 = 1;

template <class Change>
HostileCase changed(std::string name,
                    const std::string& tensor,
                    Change change,
                    std::optional<ExitCode> code,
                    std::string message,
                    const std::string& architecture = "qwen2") {
  GgufWriter w = good_model(architecture);
  change(w.tensor(tensor));
  return model_case(std::move(name), w, code, std::move(message));
}

HostileCase missing(const std::string& tensor) {
  return model_case("52 no " + tensor, good_model().erase_tensor(tensor), kBad,
                    "tensor " + tensor + " is missing");
}

// `value` in place of one weight.
void poison(RawTensor& t, float value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  std::copy(bytes, bytes + sizeof value, t.data.begin());
}

// The bytes of a block scale, at the front of every block of `block_bytes`.
void poison_scales(RawTensor& t, std::size_t block_bytes, std::vector<std::byte> scale) {
  for (std::size_t at = 0; at + block_bytes <= t.data.size(); at += block_bytes)
    std::copy(scale.begin(), scale.end(), t.data.begin() + static_cast<std::ptrdiff_t>(at));
}

using Cases = std::vector<HostileCase>;

void add_shapes(Cases& cases) {
  for (const char* name : {"token_embd.weight", "output_norm.weight", "blk.0.attn_q.weight",
                           "blk.1.ffn_down.weight", "blk.0.attn_k.bias"})
    cases.push_back(missing(name));
  cases.push_back(changed(
      "52 attn_k transposed", "blk.0.attn_k.weight",
      [](RawTensor& t) { std::swap(t.dims[0], t.dims[1]); }, kBad,
      "tensor blk.0.attn_k.weight has shape [32, 16], expected [16, 32]"));
  cases.push_back(changed(
      "52 attn_q too few rows", "blk.1.attn_q.weight", [](RawTensor& t) { t.dims[1] = 8; }, kBad,
      "tensor blk.1.attn_q.weight has shape [8, 32], expected [32, 32]"));
  cases.push_back(changed(
      "52 attn_q as a vector", "blk.1.attn_q.weight",
      [](RawTensor& t) { t.dims = {t.dims[0] * t.dims[1]}; }, kBad, "has shape [1, 1024]"));
  cases.push_back(changed(
      "53 bias of wrong length", "blk.0.attn_q.bias", [](RawTensor& t) { t.dims = {31}; }, kBad,
      "tensor blk.0.attn_q.bias has shape [1, 31], expected [1, 32]"));
  GgufWriter only_q = good_model("llama");
  only_q.add_tensor("blk.0.attn_q.bias", DType::F32, 0, 32, std::vector<std::byte>(128));
  cases.push_back(model_case("53 only a bias of q", only_q, kBad,
                             "layer 0 has a bias for some of q, k and v but not all"));
  GgufWriter extra = good_model();
  extra.add_tensor("blk.0.foo", DType::F32, 0, 8, std::vector<std::byte>(32));
  cases.push_back(model_case("54 unknown tensor", extra, kBad, "tensor blk.0.foo has no place"));
  GgufWriter output = good_model();
  output.add_tensor("output.weight", DType::F32, 8, 32, std::vector<std::byte>(1024));
  cases.push_back(model_case("52 output of another shape", output, kBad,
                             "tensor output.weight has shape [8, 32], expected [329, 32]"));
}

void add_types(Cases& cases) {
  cases.push_back(changed(
      "55 norm as Q4_0", "blk.0.attn_norm.weight",
      [](RawTensor& t) {
        t.type = static_cast<std::uint32_t>(DType::Q4_0);
        t.data.resize(18);
      },
      ExitCode::unsupported, "tensor blk.0.attn_norm.weight is a vector of type Q4_0"));
  cases.push_back(changed(
      "55 bias as F16", "blk.0.attn_q.bias",
      [](RawTensor& t) {
        t.type = kF16;
        t.data.assign(64, std::byte{0});
      },
      std::nullopt, ""));
}

void add_values(Cases& cases) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const std::string not_finite = "not finite";
  const auto embedding = [&](std::string name, auto change) {
    cases.push_back(
        changed(std::move(name), "token_embd.weight", change, ExitCode::gpu_fault, not_finite));
  };
  embedding("64 a NaN weight", [&](RawTensor& t) { poison(t, nan); });
  embedding("64 an infinite weight", [&](RawTensor& t) { poison(t, inf); });
  cases.push_back(changed(
      "64 a NaN norm", "output_norm.weight", [&](RawTensor& t) { poison(t, nan); },
      ExitCode::gpu_fault, not_finite));
  const auto quantized = [&](std::string name, DType dtype, std::vector<std::byte> scale) {
    embedding(std::move(name), [&](RawTensor& t) {
      const auto blocks = t.dims[1];  // a row is one block
      t.type = static_cast<std::uint32_t>(dtype);
      const auto block_bytes = static_cast<std::size_t>(dtype_info(dtype).block_bytes);
      t.data.assign(blocks * block_bytes, std::byte{0x77});
      poison_scales(t, block_bytes, std::move(scale));
    });
  };
  quantized("64 Q8_0 scale NaN", DType::Q8_0, {std::byte{0xff}, std::byte{0x7f}});
  quantized("64 Q4_0 scale infinite", DType::Q4_0, {std::byte{0x00}, std::byte{0x7c}});
  quantized("64 MXFP4 exponent 255", DType::MXFP4, {std::byte{0xff}});
}

}  // namespace

std::vector<HostileCase> hostile_tensors() {
  Cases cases;
  add_shapes(cases);
  add_types(cases);
  add_values(cases);
  return cases;
}

}  // namespace haikuda::test
