// Binding of a file's tensors to their roles, and the hyper-parameters.
#include <cmath>
#include <vector>

#include "model/model.h"
#include "model/rope_frequencies.h"
#include "support/catch.h"
#include "support/expect_error.h"
#include "support/gguf_writer.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

// A tiny model opened, changed and loaded.
template <class Change>
Model load_changed(const TinyModelOptions& options, Change change) {
  static std::vector<std::vector<std::byte>> kept;  // outlives the views
  kept.push_back(make_tiny_model(options));
  ModelFiles files = open_model_bytes(kept.back(), "tiny.gguf");
  change(files);
  return Model(std::move(files));
}

TensorView& tensor(ModelFiles& files, const std::string& name) {
  for (TensorView& t : files.tensors)
    if (t.name == name) return t;
  throw std::runtime_error(name);
}

TEST_CASE("model: every tensor of the file is mapped exactly once", "[model]") {
  const std::string arch = GENERATE("qwen2", "llama", "qwen3");
  const bool tied = GENERATE(true, false);
  const Model model = load_changed({.architecture = arch, .tied = tied}, [](ModelFiles&) {});
  const int per_layer = arch == "qwen2" ? 12 : arch == "qwen3" ? 11 : 9;
  REQUIRE(model.weights.n_tensors == model.config.n_layers * per_layer + (tied ? 2 : 3));
  REQUIRE(model.weights.tied == tied);
  REQUIRE((model.weights.output.data == model.weights.token_embd.data) == tied);
}

TEST_CASE("model: a tensor that is missing, extra or of another shape is named", "[model]") {
  const auto message_of = [](auto change) {
    const Error e = error_of([&] { load_changed({}, change); });
    REQUIRE(e.code() == ExitCode::model_file);
    return std::string(e.what());
  };
  REQUIRE_THAT(
      message_of([](ModelFiles& f) { tensor(f, "blk.1.attn_q.weight").name = "blk.1.foo"; }),
      contains_text("tensor blk.1.attn_q.weight is missing"));
  REQUIRE_THAT(message_of([](ModelFiles& f) { tensor(f, "blk.1.ffn_up.weight").rows = 3; }),
               contains_text("blk.1.ffn_up.weight has shape [3, 256], expected [512, 256]"));
  REQUIRE_THAT(message_of([](ModelFiles& f) {
                 std::swap(tensor(f, "blk.0.ffn_down.weight").rows,
                           tensor(f, "blk.0.ffn_down.weight").cols);
               }),
               contains_text("blk.0.ffn_down.weight has shape [512, 256], expected [256, 512]"));
  REQUIRE_THAT(message_of([](ModelFiles& f) {
                 f.tensors.push_back(tensor(f, "output_norm.weight")),
                     f.tensors.back().name = "blk.0.extra";
               }),
               contains_text("tensor blk.0.extra has no place"));
  REQUIRE_THAT(message_of([](ModelFiles& f) { tensor(f, "blk.0.attn_k.bias").cols = 1; }),
               contains_text("blk.0.attn_k.bias"));
  REQUIRE_THAT(message_of([](ModelFiles& f) { tensor(f, "token_embd.weight").cols = 128; }),
               contains_text("token_embd.weight"));
}

TEST_CASE("model: a quantized vector is refused by name", "[model]") {
  const Error e = error_of([] {
    load_changed({},
                 [](ModelFiles& f) { tensor(f, "blk.0.attn_norm.weight").dtype = DType::Q8_0; });
  });
  REQUIRE(e.code() == ExitCode::unsupported);
  REQUIRE_THAT(e.what(), contains_text("blk.0.attn_norm.weight") && contains_text("Q8_0"));
}

TEST_CASE("config: what is wrong is said by key", "[model]") {
  const auto check = [](auto add, ExitCode code, const std::string& key) {
    GgufWriter writer;
    writer.set("general.architecture", "qwen2");
    add(writer);
    const auto bytes = writer.finish();
    const GgufFile file = parse_gguf(bytes, "f");
    const Error e = error_of([&] { read_config(file.metadata); });
    CAPTURE(e.what());
    REQUIRE(e.code() == code);
    REQUIRE_THAT(e.what(), contains_text(key));
  };
  const auto base = [](GgufWriter& w, std::uint32_t layers, std::uint32_t embd, std::uint32_t heads,
                       std::uint32_t kv, float eps) {
    w.set("qwen2.context_length", 128u)
        .set("qwen2.block_count", layers)
        .set("qwen2.embedding_length", embd);
    w.set("qwen2.feed_forward_length", 64u).set("qwen2.attention.head_count", heads);
    w.set("qwen2.attention.head_count_kv", kv).set("qwen2.attention.layer_norm_rms_epsilon", eps);
  };
  check([](GgufWriter&) {}, ExitCode::model_file, "qwen2.context_length");
  check([&](GgufWriter& w) { base(w, 0, 64, 4, 2, 1e-6f); }, ExitCode::model_file,
        "qwen2.block_count");
  check([&](GgufWriter& w) { base(w, 1, 0, 4, 2, 1e-6f); }, ExitCode::model_file,
        "qwen2.embedding_length");
  check([&](GgufWriter& w) { base(w, 1, 66, 4, 2, 1e-6f); }, ExitCode::model_file,
        "qwen2.embedding_length");
  check([&](GgufWriter& w) { base(w, 1, 64, 0, 2, 1e-6f); }, ExitCode::model_file,
        "qwen2.attention.head_count");
  check([&](GgufWriter& w) { base(w, 1, 64, 4, 3, 1e-6f); }, ExitCode::model_file,
        "qwen2.attention.head_count_kv");
  check([&](GgufWriter& w) { base(w, 1, 64, 4, 2, NAN); }, ExitCode::model_file,
        "layer_norm_rms_epsilon");
  check([&](GgufWriter& w) { base(w, 1, 64, 4, 2, 0); }, ExitCode::model_file,
        "layer_norm_rms_epsilon");
  check(
      [&](GgufWriter& w) { base(w, 1, 64, 4, 2, 1e-6f), w.set("qwen2.rope.freq_base", INFINITY); },
      ExitCode::model_file, "rope.freq_base");
  check(
      [&](GgufWriter& w) {
        base(w, 1, 64, 4, 2, 1e-6f), w.set("qwen2.rope.scaling.type", "longrope");
      },
      ExitCode::unsupported, "rope.scaling.type");
  check(
      [&](GgufWriter& w) { base(w, 1, 64, 4, 2, 1e-6f), w.set("qwen2.rope.dimension_count", 7u); },
      ExitCode::model_file, "rope.dimension_count");
}

TEST_CASE("architecture: an unknown one is refused with what is supported", "[model]") {
  const Error e = error_of([] { find_architecture("mamba", "f"); });
  REQUIRE(e.code() == ExitCode::unsupported);
  REQUIRE_THAT(e.what(),
               contains_text("mamba") && contains_text("qwen2") && contains_text("llama"));
}

TEST_CASE("rope frequencies: base, linear, YaRN's two ends and Llama 3's factors", "[model]") {
  RopeConfig rope{.n_dims = 64, .freq_base = 1e6, .n_ctx_original = 4096};
  REQUIRE(rope_frequencies(rope, {}).radians[3] == Approx(std::pow(1e6, -6.0 / 64)));
  rope.scaling = RopeScaling::linear, rope.factor = 4;
  REQUIRE(rope_frequencies(rope, {}).radians[3] == Approx(std::pow(1e6, -6.0 / 64) / 4));
  rope.scaling = RopeScaling::yarn;
  const auto yarn = rope_frequencies(rope, {});
  REQUIRE(yarn.radians[0] == Approx(1));  // fast pairs stay
  REQUIRE(yarn.radians[31] ==
          Approx(std::pow(1e6, -62.0 / 64) / 4));  // slow pairs are interpolated
  REQUIRE(yarn.magnitude == Approx(1 + 0.1 * std::log(4.0)));
  rope.scaling = RopeScaling::none;
  std::vector<float> factors(32, 8);
  REQUIRE(rope_frequencies(rope, factors).radians[5] == Approx(std::pow(1e6, -10.0 / 64) / 8));
}

}  // namespace
}  // namespace haikuda::test
