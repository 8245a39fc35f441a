#include "support/patients.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "base/half.h"
#include "gguf/gguf_file.h"

namespace haikuda::test {
namespace {

// The bytes of a tensor inside a file's.
std::span<std::byte> tensor_bytes(ModelBytes& file, const std::string& name) {
  for (const TensorView& t : parse_gguf(file, "patient").tensors)
    if (t.name == name)
      return std::span(file).subspan(static_cast<std::size_t>(t.data - file.data()), t.bytes());
  throw Error(ExitCode::internal, "no tensor " + name);
}

std::string of_layer(const char* kind, int layer = kSickLayer) {
  return fmt::format("blk.{}.{}", layer, kind);
}

constexpr const char* kKinds[] = {"attn_norm.weight", "attn_q.weight",      "attn_k.weight",
                                  "attn_v.weight",    "attn_output.weight", "ffn_norm.weight",
                                  "ffn_gate.weight",  "ffn_up.weight",      "ffn_down.weight"};

void zero_layer(ModelBytes& file) {
  for (const char* kind : kKinds) {
    if (std::string_view(kind).find("norm") != std::string_view::npos) continue;
    const auto bytes = tensor_bytes(file, of_layer(kind));
    std::fill(bytes.begin(), bytes.end(), std::byte{0});
  }
}

void swap_layers(ModelBytes& file) {
  for (const char* kind : kKinds) {
    const auto a = tensor_bytes(file, of_layer(kind, 1)), b = tensor_bytes(file, of_layer(kind, 2));
    std::swap_ranges(a.begin(), a.end(), b.begin());
  }
}

// The F16 scale that a block of Q4_0 or Q8_0 begins with.
auto scale_block(std::size_t block_bytes, float factor) {
  return [=](ModelBytes& file) {
    const auto bytes = tensor_bytes(file, of_layer("ffn_up.weight"));
    std::uint16_t half = 0;
    std::byte* at = bytes.data() + 5 * block_bytes;
    std::memcpy(&half, at, 2);
    half = float_to_half(half_to_float(half) * factor);
    std::memcpy(at, &half, 2);
  };
}

void swap_nibbles(ModelBytes& file) {
  const auto bytes = tensor_bytes(file, of_layer("attn_v.weight"));
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (i % 18 >= 2) bytes[i] = bytes[i] >> 4 | bytes[i] << 4;
}

void shift_embedding(ModelBytes& file) {
  const auto bytes = tensor_bytes(file, "token_embd.weight");
  const auto row = static_cast<std::ptrdiff_t>(bytes.size() / tiny_tokens().size());
  std::rotate(bytes.begin(), bytes.begin() + row, bytes.end());
}

void put_nan(ModelBytes& file) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(tensor_bytes(file, of_layer("ffn_gate.weight")).data() + 400, &nan, sizeof nan);
}

// Replaces the F32 value of a key.
auto set_float(const std::string& key, float value) {
  return [=](ModelBytes& file) {
    const auto text = std::as_bytes(std::span(key));
    const auto at = std::search(file.begin(), file.end(), text.begin(), text.end());
    HAIKUDA_CHECK(at != file.end());
    std::memcpy(&*at + text.size() + sizeof(std::uint32_t), &value, sizeof value);
  };
}

// Scores great enough that exp leaves the range of F16.
void make_queries_loud(ModelBytes& file) {
  const auto bytes = tensor_bytes(file, of_layer("attn_q.weight"));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  for (float& v : values) v *= 20;
  std::memcpy(bytes.data(), values.data(), bytes.size());
}

// The same numbers as a matrix (cols, rows) whose columns are used.
void untranspose(ModelBytes& file, const std::string& name) {
  for (const TensorView& t : parse_gguf(file, "patient").tensors) {
    if (t.name != name) continue;
    HAIKUDA_CHECK(t.dtype == DType::F32);
    const auto bytes = tensor_bytes(file, name);
    std::vector<float> from(bytes.size() / sizeof(float)), to(from.size());
    std::memcpy(from.data(), bytes.data(), bytes.size());
    const auto rows = static_cast<std::size_t>(t.rows), cols = static_cast<std::size_t>(t.cols);
    for (std::size_t i = 0; i < from.size(); ++i) to[i % rows * cols + i / rows] = from[i];
    std::memcpy(bytes.data(), to.data(), bytes.size());
  }
}

auto untransposed(const std::string& name) {
  return [=](ModelBytes& file) { untranspose(file, name); };
}

// A vector of F32.
auto filled(const std::string& name, float value) {
  return [=](ModelBytes& file) {
    const auto bytes = tensor_bytes(file, name);
    for (std::size_t i = 0; i < bytes.size(); i += sizeof value)
      std::memcpy(bytes.data() + i, &value, sizeof value);
  };
}

void use_embedding_as_output(ModelBytes& file) {
  const auto from = tensor_bytes(file, "token_embd.weight"),
             to = tensor_bytes(file, "output.weight");
  std::copy(from.begin(), from.end(), to.begin());
}

TinyModelOptions tiny(const char* architecture, DType dtype = DType::Q8_0) {
  return {.architecture = architecture,
          .dtype = dtype,
          .embedding_dtype = {},
          .n_layers = 3,
          .n_embd = 64,
          .n_ff = 96};
}

Patient computed(std::string name, Fault fault, std::set<Stage> stages, int layer = kSickLayer) {
  return {.name = std::move(name),
          .planted = Planted::computation,
          .options = tiny("qwen2"),
          .fault = fault,
          .stages = std::move(stages),
          .layer = layer};
}

Patient spoiled(std::string name,
                Planted planted,
                DType dtype,
                std::function<void(ModelBytes&)> spoil,
                std::set<Stage> stages,
                int layer = kSickLayer) {
  return {.name = std::move(name),
          .planted = planted,
          .options = tiny("qwen2", dtype),
          .spoil = std::move(spoil),
          .stages = std::move(stages),
          .layer = layer};
}

Patient on_gpu(Patient patient, std::set<Stage> stages) {
  patient.gpu_stages = std::move(stages);
  return patient;
}

Patient changed(std::string name,
                std::function<void(Model&)> change,
                std::set<Stage> stages,
                int layer) {
  return {.name = std::move(name),
          .planted = Planted::device,
          .options = tiny("qwen2"),
          .change = std::move(change),
          .stages = std::move(stages),
          .layer = layer};
}

Patient unseen(Patient patient) {
  patient.against = true;
  return patient;
}

}  // namespace

std::vector<Patient> all_patients() {
  using enum Stage;
  constexpr auto kDevice = Planted::device, kFile = Planted::file;
  std::vector<Patient> out = {
      computed("k's matrix untransposed, wrong stride", Fault::untransposed_k, {k}),
      computed("output matrix untransposed, wrong stride", Fault::untransposed_output, {logits},
               -1),
      computed("q without its bias", Fault::no_q_bias, {q}),
      computed("k without its bias", Fault::no_k_bias, {k}),
      computed("v without its bias", Fault::no_v_bias, {v}),
      computed("RoPE interleaved in place of NEOX", Fault::other_rope_style, {q_rope, k_rope}),
      computed("RoPE NEOX in place of interleaved", Fault::other_rope_style, {q_rope, k_rope}),
      computed("wrong RoPE base", Fault::other_rope_base, {q_rope, k_rope}),
      computed("RoPE position stuck at zero", Fault::rope_position_zero, {q_rope, k_rope}),
      computed("cached K rotated twice", Fault::k_rotated_twice, {k_rope, attn_scores}),
      on_gpu(computed("KV slot off by one", Fault::kv_slot_off_by_one, {k_rope, attn_scores}),
             {v, k_rope}),
      on_gpu(computed("mask ignores the past", Fault::mask_without_past, {attn_sum, attn_weights}),
             {attn_output}),
      on_gpu(computed("GQA by modulo", Fault::gqa_by_modulo, {attn_scores}), {attn_output}),
      on_gpu(computed("attention scale missing", Fault::no_attention_scale, {attn_scores}),
             {attn_output}),
      on_gpu(computed("softmax without max in F16", Fault::softmax_f16_without_max,
                      {attn_max, attn_sum, attn_weights}),
             {attn_output}),
      computed("norm epsilon far off", Fault::norm_epsilon, {attn_norm}),
      computed("norm weight skipped", Fault::no_norm_weight, {attn_norm}),
      computed("embedding row off by one", Fault::embedding_off_by_one, {token_embd}, -1),
      computed("output matrix not the tied one", Fault::output_not_tied, {logits}, -1),
      spoiled("one layer's weights zeroed", kDevice, DType::Q8_0, zero_layer, {q}),
      spoiled("two layers swapped", kDevice, DType::Q8_0, swap_layers, {attn_norm}),
      spoiled("one block scale off by 2", kDevice, DType::Q8_0, scale_block(34, 2), {ffn_up}),
      spoiled("nibbles swapped", kDevice, DType::Q4_0, swap_nibbles, {v}),
      spoiled("NaN in one weight", kDevice, DType::F32, put_nan, {ffn_gate}),
      spoiled("one layer's weights zeroed", kFile, DType::Q8_0, zero_layer, {q}),
      spoiled("NaN in one weight", kFile, DType::F32, put_nan, {ffn_gate}),
      spoiled("one block scale off by 2000", kFile, DType::Q8_0, scale_block(34, 2000), {ffn_up}),
      spoiled("norm epsilon far off", kFile, DType::Q8_0,
              set_float("qwen2.attention.layer_norm_rms_epsilon", 0.5f), {attn_norm}, 0),
      unseen(spoiled("two layers swapped", kFile, DType::Q8_0, swap_layers, {attn_norm})),
      unseen(spoiled("one block scale off by 2", kFile, DType::Q8_0, scale_block(34, 2), {ffn_up})),
      unseen(spoiled("nibbles swapped", kFile, DType::Q4_0, swap_nibbles, {v})),
      unseen(spoiled("embedding row off by one", kFile, DType::Q8_0, shift_embedding, {token_embd},
                     -1)),
      unseen(spoiled("wrong RoPE base", kFile, DType::Q8_0,
                     set_float("qwen2.rope.freq_base", 10000), {rope_theta}, -1)),
  };
  for (Patient& p : out) {
    if (p.name == "RoPE NEOX in place of interleaved") p.options.architecture = "llama";
    if (p.fault == Fault::softmax_f16_without_max) {
      p.options.dtype = DType::F32;
      p.prepare = make_queries_loud;
    }
  }
  return out;
}

std::vector<Patient> device_patients() {
  using enum Stage;
  constexpr auto kDevice = Planted::device;
  const auto turn_style = [](Model& m) {
    m.config.rope.style =
        m.config.rope.style == RopeStyle::neox ? RopeStyle::interleaved : RopeStyle::neox;
  };
  std::vector<Patient> out = {
      spoiled("k's matrix untransposed, wrong stride", kDevice, DType::F32,
              untransposed(of_layer("attn_k.weight")), {k}),
      spoiled("output matrix untransposed, wrong stride", kDevice, DType::F32,
              untransposed("output.weight"), {logits}, -1),
      spoiled("q without its bias", kDevice, DType::Q8_0, filled(of_layer("attn_q.bias"), 0), {q}),
      spoiled("k without its bias", kDevice, DType::Q8_0, filled(of_layer("attn_k.bias"), 0), {k}),
      spoiled("v without its bias", kDevice, DType::Q8_0, filled(of_layer("attn_v.bias"), 0), {v}),
      changed("RoPE interleaved in place of NEOX", turn_style, {q_rope, k_rope}, 0),
      changed("RoPE NEOX in place of interleaved", turn_style, {q_rope, k_rope}, 0),
      changed(
          "wrong RoPE base", [](Model& m) { m.config.rope.freq_base = 10000; }, {rope_theta}, -1),
      changed(
          "norm epsilon far off", [](Model& m) { m.config.rms_eps = 0.5f; }, {attn_norm}, 0),
      spoiled("norm weight skipped", kDevice, DType::Q8_0, filled(of_layer("attn_norm.weight"), 1),
              {attn_norm}),
      spoiled("embedding row off by one", kDevice, DType::Q8_0, shift_embedding, {token_embd}, -1),
      spoiled("wrong output matrix", kDevice, DType::Q8_0, use_embedding_as_output, {logits}, -1),
  };
  for (Patient& p : out) {
    if (p.name == "RoPE NEOX in place of interleaved") p.options.architecture = "llama";
    p.options.tied = !p.name.starts_with("output matrix") && p.name != "wrong output matrix";
  }
  return out;
}

}  // namespace haikuda::test
