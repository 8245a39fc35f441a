// Hyper-parameters of the file's metadata.
#include <cmath>
#include <limits>

#include "support/hostile_cases.h"

namespace haikuda::test {
namespace {

constexpr ExitCode kBad = ExitCode::model_file;
constexpr ExitCode kUnsupported = ExitCode::unsupported;
constexpr std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

// The good model with one key of another value.
template <class T>
HostileCase with_key(std::string name,
                     const std::string& key,
                     const T& value,
                     std::optional<ExitCode> code,
                     std::string message) {
  GgufWriter w = good_model();
  w.erase(key).set(key, value);
  return model_case(std::move(name), w, code, std::move(message));
}

HostileCase without_key(std::string name, const std::string& key) {
  return model_case(std::move(name), good_model().erase(key), kBad, "key " + key + ": missing");
}

template <class T>
HostileCase with_array(std::string name,
                       const std::string& key,
                       const std::vector<T>& values,
                       std::optional<ExitCode> code,
                       std::string message) {
  GgufWriter w = good_model();
  w.erase(key).set_array(key, values);
  return model_case(std::move(name), w, code, std::move(message));
}

using Cases = std::vector<HostileCase>;

void add_architecture(Cases& cases) {
  const std::string key = "general.architecture";
  cases.push_back(without_key("46 no architecture", key));
  cases.push_back(with_key("46 architecture foo", key, "foo", kUnsupported,
                           "architecture 'foo' is not supported (supported: llama, qwen2, qwen3)"));
  cases.push_back(with_key("46 architecture with ESC", key, "\x1b]0;x\x07", kUnsupported,
                           "architecture '\\x1b]0;x\\x07'"));
  cases.push_back(with_key("46 architecture as u32", key, 1u, kBad,
                           "key general.architecture: expected a string, got u32"));
  cases.push_back(
      with_key("46 experts", "qwen2.expert_count", 8u, kUnsupported, "mixtures of experts"));
}

void add_layers(Cases& cases) {
  const std::string key = "qwen2.block_count";
  cases.push_back(without_key("47 no block_count", key));
  cases.push_back(with_key("47 block_count 0", key, 0u, kBad, key + ": expected 1 to 512, got 0"));
  cases.push_back(with_key("47 block_count 513", key, 513u, kBad, "expected 1 to 512, got 513"));
  cases.push_back(with_key("47 block_count 2^32-1", key, kMax32, kBad, "got 4294967295"));
  cases.push_back(with_key("47 block_count -1", key, std::int64_t{-1}, kBad, "got -1"));
  cases.push_back(with_key("47 block_count 2^64-1", key, ~std::uint64_t{0}, kBad,
                           "expected at most 512, got 18446744073709551615"));
  cases.push_back(with_key("47 block_count as f32", key, 2.0f, kBad, "an integer, got f32"));
  cases.push_back(
      with_key("47 block_count as string", key, "2", kBad, "expected an integer, got string"));
  cases.push_back(
      with_key("47 a layer too many", key, 3u, kBad, "tensor blk.2.attn_norm.weight is missing"));
  cases.push_back(with_key("47 a layer too few", key, 1u, kBad, "tensor blk.1."));
}

void add_heads(Cases& cases) {
  const std::string heads = "qwen2.attention.head_count", kv = "qwen2.attention.head_count_kv";
  cases.push_back(without_key("48 no head_count", heads));
  cases.push_back(with_key("48 head_count 0", heads, 0u, kBad, heads + ": expected 1 to"));
  cases.push_back(with_key("48 head_count 1025", heads, 1025u, kBad, "1 to 1024, got 1025"));
  cases.push_back(with_key("48 head_count_kv 0", kv, 0u, kBad, kv + ": expected 1 to"));
  cases.push_back(with_key("48 head_count_kv 3 of 4", kv, 3u, kBad,
                           kv + ": expected a divisor of head_count 4, got 3"));
  cases.push_back(with_key("48 head_count_kv above head_count", kv, 8u, kBad,
                           kv + ": expected a divisor of head_count 4, got 8"));
  cases.push_back(with_array<std::uint32_t>("48 head_count array too long", heads, {4, 4, 4}, kBad,
                                            heads + ": expected 2 values, got 3"));
  cases.push_back(with_array<std::uint32_t>("48 head_count array empty", heads, {}, kBad,
                                            heads + ": expected 2 values, got 0"));
  cases.push_back(with_array<std::uint32_t>("48 head_count differs by layer", heads, {4, 2},
                                            kUnsupported, "layers of different size"));
  cases.push_back(with_array<float>("48 head_count array of f32", heads, {4, 4}, kBad,
                                    "an array of integers, got array of f32"));
  cases.push_back(
      with_array<std::uint32_t>("48 head_count array that fits", heads, {4, 4}, std::nullopt, ""));
  cases.push_back(with_key("48 key_length 3", "qwen2.attention.key_length", 3u, kBad,
                           "key_length: expected an even head size, got 3"));
  cases.push_back(with_key("48 value_length differs", "qwen2.attention.value_length", 4u,
                           kUnsupported, "value_length"));
}

void add_sizes(Cases& cases) {
  const std::string embd = "qwen2.embedding_length", ctx = "qwen2.context_length";
  cases.push_back(with_key("49 embedding_length 0", embd, 0u, kBad, embd + ": expected 1 to"));
  cases.push_back(with_key("49 embedding_length 2^31", embd, 1u << 31, kBad, "got 2147483648"));
  cases.push_back(
      with_key("49 embedding_length 34", embd, 34u, kBad, "34 is not a multiple of head_count 4"));
  cases.push_back(with_key("49 embedding_length 64", embd, 64u, kBad,
                           "token_embd.weight has shape [329, 32], expected [vocabulary, 64]"));
  cases.push_back(with_key("49 feed_forward_length 2^20", "qwen2.feed_forward_length", 1u << 20,
                           kBad, "expected [1048576, 32]"));
  cases.push_back(with_key("51 context_length 2^32-1", ctx, kMax32, std::nullopt, ""));
  cases.push_back(with_key("51 context_length 2^50", ctx, std::uint64_t{1} << 50, kBad, ctx));
  cases.push_back(with_key("51 context_length 0", ctx, 0u, kBad, ctx + ": expected 1 to"));
  cases.push_back(with_key("51 context_length -1", ctx, -1, kBad, "got -1"));
}

void add_numbers(Cases& cases) {
  const std::string eps = "qwen2.attention.layer_norm_rms_epsilon";
  cases.push_back(without_key("50 no epsilon", eps));
  for (const float value : {0.0f, -1e-6f, 1.0f, kNan, kInf})
    cases.push_back(with_key("50 epsilon " + std::to_string(value), eps, value, kBad,
                             eps + ": expected a number between 0 and 1"));
  cases.push_back(with_key("50 epsilon as u32", eps, 1u, kBad, "expected a float, got u32"));
  const auto positive = [&](const std::string& name, const std::string& key, float value) {
    cases.push_back(
        with_key("50 " + name, key, value, kBad, key + ": expected a positive finite number"));
  };
  const std::string base = "qwen2.rope.freq_base", factor = "qwen2.rope.scaling.factor";
  positive("freq_base 0", base, 0);
  positive("freq_base infinite", base, kInf);
  positive("freq_base NaN", base, kNan);
  positive("freq_base negative", base, -1e6f);
  positive("scaling factor NaN", factor, kNan);
  positive("scaling factor negative", factor, -2);
  positive("scaling factor infinite", factor, kInf);
  positive("attn_factor NaN", "qwen2.rope.scaling.attn_factor", kNan);
  positive("yarn_beta_fast 0", "qwen2.rope.scaling.yarn_beta_fast", 0);
  cases.push_back(with_key("50 scaling longrope", "qwen2.rope.scaling.type", "longrope",
                           kUnsupported, "RoPE scaling 'longrope' is not supported"));
  cases.push_back(with_key("50 scaling type as u32", "qwen2.rope.scaling.type", 1u, kBad,
                           "rope.scaling.type: expected a string, got u32"));
  cases.push_back(with_key("50 dimension_count 7", "qwen2.rope.dimension_count", 7u, kBad,
                           "expected an even number, got 7"));
  cases.push_back(with_key("50 dimension_count 10 of 8", "qwen2.rope.dimension_count", 10u, kBad,
                           "expected 2 to 8, got 10"));
  cases.push_back(with_key("50 original context 0", "qwen2.rope.scaling.original_context_length",
                           0u, kBad, "original_context_length: expected 1 to"));
}

}  // namespace

std::vector<HostileCase> hostile_configs() {
  Cases cases;
  add_architecture(cases);
  add_layers(cases);
  add_heads(cases);
  add_sizes(cases);
  add_numbers(cases);
  return cases;
}

}  // namespace haikuda::test
