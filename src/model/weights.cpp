#include "model/weights.h"

#include <string_view>
#include <unordered_map>

#include <fmt/format.h>

#include "base/error.h"
#include "base/printable.h"
#include "quant/dequantize.h"

namespace haikuda {
namespace {

// Finds tensors by name, checks their shapes and keeps account of what was taken.
class TensorFinder {
 public:
  explicit TensorFinder(const ModelFiles& files) : files_(files) {
    for (const TensorView& t : files.tensors) by_name_.emplace(t.name, &t);
  }

  TensorView find(const std::string& name) {
    const auto it = by_name_.find(name);
    if (it == by_name_.end()) return {};
    TensorView view = *it->second;
    by_name_.erase(it);
    return view;
  }
  TensorView matrix(const std::string& name, std::int64_t rows, std::int64_t cols) {
    return checked(name, rows, cols);
  }
  TensorView vector(const std::string& name, std::int64_t n) {
    TensorView view = checked(name, 1, n);
    const bool plain =
        view.dtype == DType::F32 || view.dtype == DType::F16 || view.dtype == DType::BF16;
    if (!plain)
      throw Error(ExitCode::unsupported,
                  fmt::format("{}: tensor {} is a vector of type {}, expected F32, F16 or BF16",
                              printable(files_.name), name, dtype_name(view.dtype)));
    return view;
  }
  TensorView vector(const std::string& name, std::int64_t n, Presence presence) {
    if (presence == Presence::never || (presence == Presence::optional && !by_name_.contains(name)))
      return {};
    return vector(name, n);
  }
  void fail_if_any_is_left() const {
    for (const TensorView& t : files_.tensors)
      if (by_name_.contains(t.name))
        fail(
            fmt::format("tensor {} has no place in this architecture ({} unexpected of {} tensors)",
                        t.name, by_name_.size(), files_.tensors.size()));
  }
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ExitCode::model_file, fmt::format("{}: {}", printable(files_.name), problem));
  }

 private:
  TensorView checked(const std::string& name, std::int64_t rows, std::int64_t cols) {
    TensorView view = find(name);
    if (!view) fail(fmt::format("tensor {} is missing", name));
    if (view.rows != rows || view.cols != cols)
      fail(fmt::format("tensor {} has shape [{}, {}], expected [{}, {}]", name, view.rows,
                       view.cols, rows, cols));
    return view;
  }

  const ModelFiles& files_;
  std::unordered_map<std::string_view, const TensorView*> by_name_;
};

LayerWeights bind_layer(TensorFinder& tensors, int layer, const ModelConfig& c) {
  const auto name = [&](std::string_view part) { return fmt::format("blk.{}.{}", layer, part); };
  const Architecture& arch = c.architecture;
  LayerWeights w;
  w.attn_norm = tensors.vector(name("attn_norm.weight"), c.n_embd);
  w.attn_q = tensors.matrix(name("attn_q.weight"), c.q_size(), c.n_embd);
  w.attn_k = tensors.matrix(name("attn_k.weight"), c.kv_size(), c.n_embd);
  w.attn_v = tensors.matrix(name("attn_v.weight"), c.kv_size(), c.n_embd);
  w.attn_q_bias = tensors.vector(name("attn_q.bias"), c.q_size(), arch.qkv_bias);
  w.attn_k_bias = tensors.vector(name("attn_k.bias"), c.kv_size(), arch.qkv_bias);
  w.attn_v_bias = tensors.vector(name("attn_v.bias"), c.kv_size(), arch.qkv_bias);
  w.attn_q_norm = tensors.vector(name("attn_q_norm.weight"), c.head_dim, arch.qk_norm);
  w.attn_k_norm = tensors.vector(name("attn_k_norm.weight"), c.head_dim, arch.qk_norm);
  w.attn_output = tensors.matrix(name("attn_output.weight"), c.n_embd, c.q_size());
  w.ffn_norm = tensors.vector(name("ffn_norm.weight"), c.n_embd);
  w.ffn_gate = tensors.matrix(name("ffn_gate.weight"), c.n_ff, c.n_embd);
  w.ffn_up = tensors.matrix(name("ffn_up.weight"), c.n_ff, c.n_embd);
  w.ffn_down = tensors.matrix(name("ffn_down.weight"), c.n_embd, c.n_ff);
  const bool q = static_cast<bool>(w.attn_q_bias), k = static_cast<bool>(w.attn_k_bias),
             v = static_cast<bool>(w.attn_v_bias);
  if (q != k || q != v)
    tensors.fail(fmt::format("layer {} has a bias for some of q, k and v but not all", layer));
  return w;
}

}  // namespace

std::size_t Weights::total_bytes() const {
  std::size_t bytes = token_embd.bytes() + output_norm.bytes() + (tied ? 0 : output.bytes());
  for (const LayerWeights& w : layers)
    for (const TensorView* t : {&w.attn_norm, &w.attn_q, &w.attn_k, &w.attn_v, &w.attn_q_bias,
                                &w.attn_k_bias, &w.attn_v_bias, &w.attn_q_norm, &w.attn_k_norm,
                                &w.attn_output, &w.ffn_norm, &w.ffn_gate, &w.ffn_up, &w.ffn_down})
      if (*t) bytes += t->bytes();
  return bytes;
}

Weights bind_weights(const ModelFiles& files, ModelConfig& config) {
  TensorFinder tensors(files);
  Weights w;
  w.token_embd = tensors.find("token_embd.weight");
  if (!w.token_embd) tensors.fail("tensor token_embd.weight is missing");
  if (w.token_embd.cols != config.n_embd || w.token_embd.rows > std::numeric_limits<int>::max())
    tensors.fail(
        fmt::format("tensor token_embd.weight has shape [{}, {}], expected [vocabulary, {}]",
                    w.token_embd.rows, w.token_embd.cols, config.n_embd));
  config.n_vocab = static_cast<int>(w.token_embd.rows);
  w.output_norm = tensors.vector("output_norm.weight", config.n_embd);
  w.output = tensors.find("output.weight");
  w.tied = !w.output;
  if (w.tied) w.output = w.token_embd;
  if (w.output.rows != config.n_vocab || w.output.cols != config.n_embd)
    tensors.fail(fmt::format("tensor output.weight has shape [{}, {}], expected [{}, {}]",
                             w.output.rows, w.output.cols, config.n_vocab, config.n_embd));
  w.rope_freqs = tensors.vector("rope_freqs.weight", config.rope.n_dims / 2, Presence::optional);
  for (int layer = 0; layer < config.n_layers; ++layer)
    w.layers.push_back(bind_layer(tensors, layer, config));
  tensors.fail_if_any_is_left();
  w.n_tensors = static_cast<int>(files.tensors.size());
  return w;
}

std::vector<float> to_float(const TensorView& vector) {
  std::vector<float> out(static_cast<std::size_t>(vector.size()));
  if (vector) dequantize_row(vector.dtype, vector.data, out.data(), vector.size());
  return out;
}

}  // namespace haikuda
