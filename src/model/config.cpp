#include "model/config.h"

#include <cmath>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"

namespace haikuda {
namespace {

constexpr std::int64_t kMaxLayers = 512;
constexpr std::int64_t kMaxWidth = std::int64_t{1} << 20;
constexpr std::int64_t kMaxHeads = 1024;
constexpr std::int64_t kMaxHeadDim = 1024;
constexpr std::int64_t kMaxContext = std::numeric_limits<std::int32_t>::max();

// Reads the keys "<architecture>.<suffix>".
class Keys {
 public:
  Keys(const Metadata& metadata, std::string_view prefix) : metadata_(metadata), prefix_(prefix) {}

  std::string key(std::string_view suffix) const { return fmt::format("{}.{}", prefix_, suffix); }
  int integer(std::string_view suffix, std::int64_t min, std::int64_t max) const {
    return static_cast<int>(metadata_.get_int(key(suffix), min, max));
  }
  int integer_or(std::string_view suffix, std::int64_t min, std::int64_t max, int fallback) const {
    return static_cast<int>(metadata_.find_int(key(suffix), min, max).value_or(fallback));
  }
  double positive_or(std::string_view suffix, double fallback) const {
    const double value = metadata_.find_float(key(suffix)).value_or(fallback);
    if (!std::isfinite(value) || value <= 0)
      metadata_.fail(key(suffix), fmt::format("expected a positive finite number, got {}", value));
    return value;
  }
  // A scalar, or an array with one value a layer that must all be equal.
  int per_layer(std::string_view suffix, int n_layers, std::int64_t max) const {
    const MetaValue* v = metadata_.find(key(suffix));
    if (v == nullptr || v->type != MetaType::array) return integer(suffix, 1, max);
    const auto values = *metadata_.find_ints(key(suffix));
    if (values.size() != static_cast<std::size_t>(n_layers))
      metadata_.fail(key(suffix),
                     fmt::format("expected {} values, got {}", n_layers, values.size()));
    for (const std::int64_t n : values) {
      if (n < 1 || n > max)
        metadata_.fail(key(suffix), fmt::format("expected 1 to {}, got {}", max, n));
      if (n != values[0])
        throw Error(ExitCode::unsupported,
                    fmt::format("{}: key {}: layers of different size are not supported",
                                printable(metadata_.file_name()), key(suffix)));
    }
    return static_cast<int>(values[0]);
  }
  [[noreturn]] void fail(std::string_view suffix, const std::string& problem) const {
    metadata_.fail(key(suffix), problem);
  }
  const Metadata& metadata() const { return metadata_; }

 private:
  const Metadata& metadata_;
  std::string_view prefix_;
};

RopeScaling read_scaling_type(const Keys& keys, bool has_factor) {
  const std::string* type = keys.metadata().find_string(keys.key("rope.scaling.type"));
  if (type == nullptr) return has_factor ? RopeScaling::linear : RopeScaling::none;
  if (*type == "none") return RopeScaling::none;
  if (*type == "linear") return RopeScaling::linear;
  if (*type == "yarn") return RopeScaling::yarn;
  throw Error(ExitCode::unsupported,
              fmt::format("{}: key {}: RoPE scaling '{}' is not supported (none, linear, yarn)",
                          printable(keys.metadata().file_name()), keys.key("rope.scaling.type"),
                          printable(*type)));
}

// A factor of 0 means none, as in files of older converters.
double read_scaling_factor(const Keys& keys) {
  for (const char* suffix : {"rope.scaling.factor", "rope.scale_linear"}) {
    const auto factor = keys.metadata().find_float(keys.key(suffix));
    if (!factor || *factor == 0) continue;
    return keys.positive_or(suffix, 1);
  }
  return 1;
}

RopeConfig read_rope(const Keys& keys, const ModelConfig& config) {
  RopeConfig rope;
  rope.style = config.architecture.rope;
  rope.n_dims = keys.integer_or("rope.dimension_count", 2, config.head_dim, config.head_dim);
  if (rope.n_dims % 2 != 0)
    keys.fail("rope.dimension_count", fmt::format("expected an even number, got {}", rope.n_dims));
  rope.freq_base = keys.positive_or("rope.freq_base", rope.freq_base);
  rope.factor = read_scaling_factor(keys);
  rope.scaling = read_scaling_type(keys, rope.factor != 1);
  rope.n_ctx_original =
      keys.integer_or("rope.scaling.original_context_length", 1, kMaxContext, config.n_ctx_train);
  rope.attn_factor = keys.positive_or("rope.scaling.attn_factor", 1);
  rope.beta_fast = keys.positive_or("rope.scaling.yarn_beta_fast", rope.beta_fast);
  rope.beta_slow = keys.positive_or("rope.scaling.yarn_beta_slow", rope.beta_slow);
  return rope;
}

void read_heads(const Keys& keys, ModelConfig& config) {
  config.n_heads = keys.per_layer("attention.head_count", config.n_layers, kMaxHeads);
  config.n_kv_heads = keys.metadata().contains(keys.key("attention.head_count_kv"))
                          ? keys.per_layer("attention.head_count_kv", config.n_layers, kMaxHeads)
                          : config.n_heads;
  if (config.n_heads % config.n_kv_heads != 0)
    keys.fail("attention.head_count_kv", fmt::format("expected a divisor of head_count {}, got {}",
                                                     config.n_heads, config.n_kv_heads));
  const std::string key_length = "attention.key_length";
  if (!keys.metadata().contains(keys.key(key_length)) && config.n_embd % config.n_heads != 0)
    keys.fail("embedding_length",
              fmt::format("{} is not a multiple of head_count {}", config.n_embd, config.n_heads));
  config.head_dim = keys.integer_or(key_length, 2, kMaxHeadDim, config.n_embd / config.n_heads);
  if (config.head_dim < 2 || config.head_dim % 2 != 0)
    keys.fail(key_length, fmt::format("expected an even head size, got {}", config.head_dim));
  const int value_length =
      keys.integer_or("attention.value_length", 1, kMaxHeadDim, config.head_dim);
  if (value_length != config.head_dim)
    throw Error(
        ExitCode::unsupported,
        fmt::format("{}: key {}: values of another length ({}) than keys ({}) are not supported",
                    printable(keys.metadata().file_name()), keys.key("attention.value_length"),
                    value_length, config.head_dim));
}

}  // namespace

ModelConfig read_config(const Metadata& metadata) {
  ModelConfig config;
  config.architecture =
      find_architecture(metadata.get_string("general.architecture"), metadata.file_name());
  if (const std::string* name = metadata.find_string("general.name")) config.name = *name;
  const Keys keys(metadata, config.architecture.name);
  config.n_ctx_train = static_cast<int>(std::min(
      metadata.get_int(keys.key("context_length"), 1, std::int64_t{1} << 40), kMaxContext));
  config.n_layers = keys.integer("block_count", 1, kMaxLayers);
  config.n_embd = keys.integer("embedding_length", 1, kMaxWidth);
  config.n_ff = keys.per_layer("feed_forward_length", config.n_layers, kMaxWidth);
  read_heads(keys, config);
  if (metadata.find_int(keys.key("expert_count")).value_or(0) > 0)
    throw Error(ExitCode::unsupported,
                fmt::format("{}: key {}: mixtures of experts are not supported",
                            printable(metadata.file_name()), keys.key("expert_count")));
  const double eps = metadata.get_float(keys.key("attention.layer_norm_rms_epsilon"));
  if (!(eps > 0 && eps < 1))
    keys.fail("attention.layer_norm_rms_epsilon",
              fmt::format("expected a number between 0 and 1, got {}", eps));
  config.rms_eps = static_cast<float>(eps);
  config.rope = read_rope(keys, config);
  return config;
}

}  // namespace haikuda
