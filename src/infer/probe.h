// What a backend shows of its inside while it computes: named stages, the rows of several positions
// at a time. Looking changes no bit of what is computed.
//
// In one pass over the tokens of positions [first, first + n) the stages come in the order of
// Stage: the ones before the layers, for each layer all of its own, the ones after. A prompt that
// is cut into chunks is several passes; a pass of decoding has one token. `output_norm` and
// `logits` exist only of the last position of Backend::append, `sampled` is shown by the generator.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "model/config.h"

namespace haikuda {

// Whether backends ask for a probe at all. A build without (-DHAIKUDA_PROBE=OFF) has none of it
// where tokens are computed: it shows what looking costs when nobody looks.
#ifdef HAIKUDA_NO_PROBE
inline constexpr bool kHasProbe = false;
#else
inline constexpr bool kHasProbe = true;
#endif

// Shape of a position's row behind each. Elements of a head lie as in the file, so interleaved
// pairs of RoPE are neighbours.
enum class Stage {
  tokens,      // the id at each position: StageView::ids
  token_embd,  // (n_embd) the embedding's row
  rope_theta,  // (rope.n_dims / 2) angle of each pair in radians, scaling included
  rope_cos,    // (rope.n_dims / 2) its cosine, times the magnitude that YaRN has
  rope_sin,    // the same of the sine
  // Of each layer:
  attn_norm,      // (n_embd)
  q,              // (n_heads, head_dim) after the bias
  k,              // (n_kv_heads, head_dim) after the bias
  v,              // (n_kv_heads, head_dim) after the bias
  q_norm,         // (n_heads, head_dim) after the norm of each head; only where a model has one
  k_norm,         // (n_kv_heads, head_dim) the same
  q_rope,         // (n_heads, head_dim) after the rotation
  k_rope,         // (n_kv_heads, head_dim) after the rotation, as it lies in the cache
  attn_scores,    // (n_heads, n_keys) q · k / sqrt(head_dim); one position a view
  attn_max,       // (n_heads) the greatest score, which softmax subtracts
  attn_sum,       // (n_heads) sum of exp(score - max), which softmax divides by
  attn_weights,   // (n_heads, n_keys) softmax of the scores; one position a view
  attn_output,    // (n_heads, head_dim) weights · v, before the projection
  attn_proj,      // (n_embd)
  attn_residual,  // (n_embd) the residual stream after attention
  ffn_norm,       // (n_embd)
  ffn_gate,       // (n_ff) before the activation
  ffn_up,         // (n_ff)
  ffn_act,        // (n_ff) silu(gate) · up
  ffn_down,       // (n_embd)
  ffn_residual,   // (n_embd) the residual stream after the layer
  // After the layers:
  output_norm,  // (n_embd)
  logits,       // (n_vocab)
  sampled,      // the id chosen from the logits of this position: StageView::ids
};

struct StageInfo {
  Stage stage;
  bool of_layer;
  const char* name;  // as the enumerator
};
// All, in order; the place of a stage is its value as a number.
std::span<const StageInfo> all_stages();
const char* stage_name(Stage stage);
bool is_of_layer(Stage stage);
std::optional<Stage> find_stage(std::string_view name);

// Shape of one position's row; empty for tokens and sampled. `n_keys` is of attn_scores and
// attn_weights alone.
std::vector<int> stage_row_shape(Stage stage, const ModelConfig& config, int n_keys = 0);

// The rows of positions [position, position + n_rows). Views memory of the backend, which is valid
// during Probe::show alone.
struct StageView {
  Stage stage{};
  int layer = -1;  // -1: not of a layer
  int position = 0;
  int n_rows = 0;
  std::vector<int> row_shape = {};
  std::span<const float> values = {};  // (n_rows, row_shape…)
  std::span<const int> ids = {};       // (n_rows), of tokens and sampled
  DType dtype = DType::F32;            // in which the device holds the values

  std::span<const float> row(int i) const {
    const std::size_t size = values.size() / static_cast<std::size_t>(n_rows);
    return values.subspan(static_cast<std::size_t>(i) * size, size);
  }
};

class Probe {
 public:
  virtual ~Probe() = default;

  // Whether any of the rows of positions [position, position + n_rows) is wanted. What is not
  // wanted is neither computed for the probe's sake nor copied. Asked often: it is quick.
  virtual bool wants(Stage stage, int layer, int position, int n_rows) const = 0;
  // May hold rows that were not wanted beside one that was. What it throws ends the pass.
  virtual void show(const StageView& view) = 0;
};

}  // namespace haikuda
