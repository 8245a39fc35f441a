// What the CUDA backend shows a probe, stage by stage against the CPU's.
#include "base/half.h"
#include "device_array.h"
#include "model_pair.h"
#include "support/catch.h"
#include "support/shown_stages.h"

namespace haikuda::test {
namespace {

// A prompt, in chunks where the backend has them, and three tokens of decoding.
ShownStages shown_by(Backend& backend, int n_vocab) {
  ShownStages shown;
  backend.set_probe(&shown);
  backend.append(random_tokens(21, n_vocab, 4));
  for (const int token : {5, 6, 5}) backend.append({&token, 1});
  backend.set_probe(nullptr);
  return shown;
}

// Rows of all positions of a layer's stage, one after the other.
std::map<std::pair<int, Stage>, std::vector<float>> joined(const ShownStages& shown) {
  std::map<std::pair<int, Stage>, std::vector<float>> out;
  for (const auto& [key, row] : shown.rows) {
    auto& values = out[{std::get<0>(key), std::get<1>(key)}];
    values.insert(values.end(), row.values.begin(), row.values.end());
  }
  return out;
}

}  // namespace

TEST_CASE("probe: cuda shows what the cpu shows", "[cuda][probe]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  const int chunk = GENERATE(3, 9, 512);  // by gemv; by cuBLASLt with a rest of gemv; by cuBLASLt
  CAPTURE(architecture, chunk);
  const TinyModel tiny({.architecture = architecture, .dtype = DType::Q8_0});
  const int n_vocab = tiny.model.config.n_vocab;
  const ShownStages want = shown_by(*tiny.on_cpu(64), n_vocab);
  const ShownStages got = shown_by(*tiny.on_cuda(64, chunk), n_vocab);
  REQUIRE(got.rows.size() == want.rows.size());
  for (const auto& [key, row] : want.rows) {
    const auto found = got.rows.find(key);
    REQUIRE(found != got.rows.end());
    CHECK(found->second.shape == row.shape);
    CHECK(found->second.ids == row.ids);
  }
  const auto all_got = joined(got);
  for (const auto& [key, values] : joined(want)) {
    if (values.empty()) continue;  // ids
    CAPTURE(key.first, stage_name(key.second));
    CHECK_THAT(all_got.at(key), NmseBelow(values, 1e-5));
  }
}

TEST_CASE("probe: looking changes no bit on cuda", "[cuda][probe][sanitize]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "qwen3");
  const TinyModel tiny({.architecture = architecture, .dtype = DType::F16});
  const std::vector<int> tokens = random_tokens(21, tiny.model.config.n_vocab, 4);
  const int chunk = GENERATE(8, 16);  // by gemv; by cuBLASLt with a rest of gemv
  if (is_thin() && chunk != 8) return;
  CAPTURE(architecture, chunk);
  const auto looked_at = tiny.on_cuda(64, chunk), alone = tiny.on_cuda(64, chunk);
  ShownStages shown;
  looked_at->set_probe(&shown);
  CHECK(logits_after(*looked_at, tokens) == logits_after(*alone, tokens));
  const auto next = random_tokens(1, tiny.model.config.n_vocab, 9);
  const std::vector<float> logits = logits_after(*looked_at, next);
  CHECK(logits == logits_after(*alone, next));
  CHECK(shown.values(Stage::logits, -1, 21) == logits);
  looked_at->set_probe(nullptr);
  const std::size_t n_shown = shown.order.size();
  CHECK(logits_after(*looked_at, next) == logits_after(*alone, next));
  CHECK(shown.order.size() == n_shown);
}

TEST_CASE("probe: the cuda cache holds the keys that were shown, and the values as half",
          "[cuda][probe]") {
  const int chunk = GENERATE(8, 16);
  CAPTURE(chunk);
  const TinyModel tiny({.architecture = "qwen3", .dtype = DType::F16});
  const auto gpu = tiny.on_cuda(64, chunk);
  const ShownStages shown = shown_by(*gpu, tiny.model.config.n_vocab);
  for (int layer = 0; layer < tiny.model.config.n_layers; ++layer) {
    std::vector<float> k, v;
    for (int position = 0; position < gpu->position(); ++position) {
      for (const float x : shown.values(Stage::k_rope, layer, position)) k.push_back(x);
      for (const float x : shown.values(Stage::v, layer, position))
        v.push_back(half_to_float(float_to_half(x)));
    }
    const CachedKv cached = gpu->cached_kv(layer);
    CHECK(cached.k == k);
    CHECK(cached.v == v);
  }
}

}  // namespace haikuda::test
