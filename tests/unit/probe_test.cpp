// What the CPU backend and the generator show a probe: stages, order, shapes, positions, values.
#include "infer/probe.h"

#include <algorithm>
#include <cmath>

#include "cpu/cpu_backend.h"
#include "infer/generator.h"
#include "support/catch.h"
#include "support/shown_stages.h"
#include "support/tiny_model.h"

namespace haikuda::test {
namespace {

struct Loaded {
  explicit Loaded(const TinyModelOptions& options)
      : bytes(make_tiny_model(options)), model(open_model_bytes(bytes, "tiny")) {}
  std::unique_ptr<Backend> backend(int chunk = 512) const {
    return make_cpu_backend(model, {.n_ctx = 32, .n_threads = 2, .chunk = chunk});
  }
  std::vector<std::byte> bytes;
  Model model;
};

const std::vector<int> kTokens = {17, 3, 250, 17, 96, 4, 4};

TinyModelOptions small(const std::string& architecture) {
  return {.architecture = architecture, .n_embd = 64, .head_dim = 32, .n_ff = 96};
}

// All that is shown while the tokens are appended in parts, and by one step of decoding.
ShownStages shown_by(Backend& backend, std::size_t part = 100) {
  ShownStages shown;
  backend.set_probe(&shown);
  for (std::size_t at = 0; at < kTokens.size(); at += part)
    backend.append(std::span(kTokens).subspan(at, std::min(part, kTokens.size() - at)));
  const int next = 5;
  backend.append({&next, 1});
  backend.set_probe(nullptr);
  return shown;
}

// The stages that a model of this architecture has, in the order of a pass.
std::vector<std::pair<Stage, int>> expected_order(const ModelConfig& c) {
  std::vector<std::pair<Stage, int>> before, of_layer, after, all;
  for (const StageInfo& info : all_stages()) {
    const bool is_head_norm = info.stage == Stage::q_norm || info.stage == Stage::k_norm;
    if (info.stage == Stage::sampled || (is_head_norm && c.architecture.name != "qwen3")) continue;
    (info.of_layer                   ? of_layer
     : info.stage < Stage::attn_norm ? before
                                     : after)
        .emplace_back(info.stage, -1);
  }
  all = before;
  for (int layer = 0; layer < c.n_layers; ++layer)
    for (const auto& [stage, none] : of_layer) all.emplace_back(stage, layer);
  all.insert(all.end(), after.begin(), after.end());
  return all;
}

TEST_CASE("probe: every stage has a name of its own, and is found by it", "[probe]") {
  REQUIRE(all_stages().size() == 29);
  for (const StageInfo& info : all_stages()) {
    CHECK(find_stage(info.name) == info.stage);
    CHECK(std::string(stage_name(info.stage)) == info.name);
  }
  CHECK_FALSE(find_stage("attention"));
  CHECK_FALSE(is_of_layer(Stage::logits));
  CHECK(is_of_layer(Stage::ffn_residual));
}

TEST_CASE("probe: stages come in the documented order with their shapes", "[probe]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  CAPTURE(architecture);
  const Loaded tiny(small(architecture));
  const ModelConfig& c = tiny.model.config;
  const ShownStages shown = shown_by(*tiny.backend());
  std::vector<ShownStages::Key> want;
  const int n = static_cast<int>(kTokens.size());
  for (const int first : {0, n})
    for (const auto& [stage, layer] : expected_order(c)) {
      const bool only_last = stage == Stage::output_norm || stage == Stage::logits;
      const int end = first == 0 ? n : n + 1;
      for (int position = only_last ? end - 1 : first; position < end; ++position)
        want.push_back({layer, stage, position});
    }
  REQUIRE(shown.order == want);
  for (const auto& [key, row] : shown.rows) {
    const auto& [layer, stage, position] = key;
    CAPTURE(stage_name(stage), position);
    CHECK(row.shape == stage_row_shape(stage, c, position + 1));
  }
}

TEST_CASE("probe: what is shown does not depend on how a prompt is cut", "[probe]") {
  const std::string architecture = GENERATE(as<std::string>{}, "qwen2", "llama", "qwen3");
  CAPTURE(architecture);
  const Loaded tiny(small(architecture));
  const ShownStages whole = shown_by(*tiny.backend());
  for (const int chunk : {1, 3, 4}) {
    CAPTURE(chunk);
    REQUIRE(shown_by(*tiny.backend(chunk)).rows == whole.rows);
  }
  ShownStages stepwise = shown_by(*tiny.backend(), 1);  // has the logits of every position too
  for (int position = 0; position + 1 < static_cast<int>(kTokens.size()); ++position) {
    REQUIRE(stepwise.rows.erase({-1, Stage::logits, position}) == 1);
    REQUIRE(stepwise.rows.erase({-1, Stage::output_norm, position}) == 1);
  }
  REQUIRE(stepwise.rows == whole.rows);
}

TEST_CASE("probe: looking changes no bit, and the logits shown are the backend's", "[probe]") {
  const Loaded tiny(small("qwen3"));
  const auto looked_at = tiny.backend(3), alone = tiny.backend(3);
  ShownStages shown;
  looked_at->set_probe(&shown);
  for (Backend* backend : {looked_at.get(), alone.get()}) backend->append(kTokens);
  const std::vector<float> want(alone->logits().begin(), alone->logits().end());
  REQUIRE(std::vector<float>(looked_at->logits().begin(), looked_at->logits().end()) == want);
  REQUIRE(shown.values(Stage::logits, -1, 6) == want);
  looked_at->set_probe(nullptr);
  const std::size_t n_shown = shown.order.size();
  looked_at->append({kTokens.data(), 1});
  CHECK(shown.order.size() == n_shown);
}

TEST_CASE("probe: only what is wanted is shown", "[probe]") {
  const Loaded tiny(small("qwen2"));
  const auto backend = tiny.backend();
  ShownStages shown;
  shown.only = {Stage::attn_max, Stage::ffn_up};
  backend->set_probe(&shown);
  backend->append(kTokens);
  CHECK(shown.rows.size() == 2 * 2 * kTokens.size());
  for (const auto& [key, row] : shown.rows) CHECK(shown.only.count(std::get<1>(key)) == 1);
}

TEST_CASE("probe: attention shown is a softmax of its scores", "[probe]") {
  const Loaded tiny(small("llama"));
  const auto n_heads = static_cast<std::size_t>(tiny.model.config.n_heads);
  const ShownStages shown = shown_by(*tiny.backend());
  for (int position = 0; position < 8; ++position) {
    const auto n_keys = static_cast<std::size_t>(position) + 1;
    const auto& scores = shown.values(Stage::attn_scores, 1, position);
    const auto& weights = shown.values(Stage::attn_weights, 1, position);
    REQUIRE(scores.size() == n_heads * n_keys);
    for (std::size_t h = 0; h < n_heads; ++h) {
      CAPTURE(position, h);
      const float max = shown.values(Stage::attn_max, 1, position)[h];
      const float sum = shown.values(Stage::attn_sum, 1, position)[h];
      const float* s = scores.data() + h * n_keys;
      CHECK(max == *std::max_element(s, s + n_keys));
      double total = 0;
      for (std::size_t j = 0; j < n_keys; ++j) {
        const float weight = weights[h * n_keys + j];
        CHECK(weight == Approx(std::exp(s[j] - max) / sum).epsilon(1e-6));
        total += static_cast<double>(weight);
      }
      CHECK(total == Approx(1).epsilon(1e-6));
    }
  }
}

TEST_CASE("probe: angles and rotations", "[probe]") {
  const Loaded tiny(small("qwen2"));
  const ShownStages shown = shown_by(*tiny.backend());
  CHECK(shown.values(Stage::rope_theta, -1, 0) == std::vector<float>(16, 0.0f));
  CHECK(shown.values(Stage::rope_theta, -1, 3)[0] == 3.0f);
  for (std::size_t i = 0; i < 16; ++i) {
    const float theta = shown.values(Stage::rope_theta, -1, 5)[i];
    CHECK(shown.values(Stage::rope_cos, -1, 5)[i] == Approx(std::cos(theta)).margin(1e-6));
    CHECK(shown.values(Stage::rope_sin, -1, 5)[i] == Approx(std::sin(theta)).margin(1e-6));
  }
  CHECK(shown.values(Stage::q_rope, 0, 0) == shown.values(Stage::q, 0, 0));
  CHECK(shown.values(Stage::q_rope, 0, 1) != shown.values(Stage::q, 0, 1));
}

TEST_CASE("probe: the cache holds the rotated keys and the values", "[probe]") {
  const Loaded tiny(small("qwen3"));
  const ModelConfig& c = tiny.model.config;
  const auto backend = tiny.backend(3);
  const ShownStages shown = shown_by(*backend);
  for (int layer = 0; layer < c.n_layers; ++layer) {
    const CachedKv cached = backend->cached_kv(layer);
    std::vector<float> k, v;
    for (int position = 0; position < backend->position(); ++position) {
      const auto& row = shown.values(Stage::k_rope, layer, position);
      k.insert(k.end(), row.begin(), row.end());
      const auto& v_row = shown.values(Stage::v, layer, position);
      v.insert(v.end(), v_row.begin(), v_row.end());
    }
    CHECK(cached.k == k);
    CHECK(cached.v == v);
  }
}

TEST_CASE("probe: the generator shows each token it chooses at the position of its logits",
          "[probe]") {
  const Loaded tiny(small("qwen2"));
  const auto tokenizer = Tokenizer::create(tiny.model.files.metadata);
  const auto backend = tiny.backend();
  ShownStages shown;
  shown.only = {Stage::sampled, Stage::tokens};
  backend->set_probe(&shown);
  const GenerateResult result =
      generate(*backend, *tokenizer, kTokens,
               {.n_predict = 4, .sampler = {.temperature = 0}, .ignore_eos = true},
               {.on_text = [](std::string_view) {}, .should_stop = [] { return false; }});
  REQUIRE(result.tokens.size() == 4);
  for (int i = 0; i < 4; ++i) {
    const std::vector<int> token = {result.tokens[static_cast<std::size_t>(i)]};
    CHECK(shown.rows.at({-1, Stage::sampled, 6 + i}).ids == token);
    if (i < 3) CHECK(shown.rows.at({-1, Stage::tokens, 7 + i}).ids == token);
  }
  for (int i = 0; i < 7; ++i)
    CHECK(shown.rows.at({-1, Stage::tokens, i}).ids[0] == kTokens[static_cast<std::size_t>(i)]);
}

}  // namespace
}  // namespace haikuda::test
