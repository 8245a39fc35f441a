#include "support/tiny_model.h"

#include <cmath>
#include <numbers>
#include <string_view>

#include <fmt/format.h>

#include "base/error.h"
#include "base/utf8.h"
#include "support/gguf_writer.h"
#include "support/random.h"
#include "support/random_blocks.h"

namespace haikuda::test {
namespace {

// In GPT-2's alphabet (G with dot is a space); each part is a byte or an earlier line's token.
// clang-format off
constexpr std::string_view kMerges[] = {
    "Ġ t",   "Ġ a",   "h e",    "i n",    "r e",   "o n",   "Ġt he",  "e r",    "Ġ s",    "a t",
    "Ġ w",   "Ġ o",   "e n",    "Ġ c",    "i t",   "i s",   "a n",    "o r",    "e s",    "Ġ b",
    "e d",   "Ġ f",   "in g",   "Ġ p",    "o u",   "Ġa n",  "a l",    "a r",    "Ġt o",   "Ġ m",
    "Ġo f",  "Ġ in",  "Ġ d",    "Ġ h",    "Ġan d", "i c",   "a s",    "l e",    "Ġt h",   "i on",
    "o m",   "l l",   "en t",   "Ġ n",    "Ġ l",   "s t",   "Ġ re",   "v e",    "Ġ e",    "r o",
    "l y",   "Ġb e",  "Ġ g",    "Ġ Ġ",    "ĠĠ ĠĠ", "Ċ Ċ",   "T he",   "o k",    "he ll",  "hell o",
    "ä ½",   "ä½ ł",  "å ¥",    "å¥ ½",   "ð Ł",   "Ã ©",   "_ _",    "= =",    "u s",    "us er"};
// clang-format on

constexpr std::string_view kSpecials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};

constexpr std::string_view kChatTemplate =
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

bool is_printable_byte(int b) {
  return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
}

// bytes_to_unicode() of GPT-2's encoder.py: printable bytes stand for themselves and come first,
// the others are U+0100 onwards.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> out;
  const auto add = [&](char32_t c) { append_utf8(out.emplace_back(), c); };
  for (int b = 0; b < 256; ++b)
    if (is_printable_byte(b)) add(static_cast<char32_t>(b));
  for (char32_t c = 0x100; out.size() < 256; ++c) add(c);
  return out;
}

// The options with their defaults resolved.
struct Shape {
  int head_dim, n_q, n_kv;  // n_q, n_kv: columns of the query and of the key
  float freq_base;
  int rope_original_ctx;
  DType embedding_dtype;
};

Shape resolve(const TinyModelOptions& o) {
  const auto need = [](bool condition, const char* what) {
    if (!condition) throw Error(ExitCode::usage, fmt::format("tiny model: {}", what));
  };
  need(o.architecture == "qwen2" || o.architecture == "llama" || o.architecture == "qwen3",
       "architecture is qwen2, llama or qwen3");
  need(o.n_layers > 0 && o.n_embd > 0 && o.n_heads > 0 && o.n_kv_heads > 0 && o.n_ff > 0 &&
           o.n_ctx > 0,
       "sizes are positive");
  need(o.n_heads % o.n_kv_heads == 0, "n_heads is a multiple of n_kv_heads");
  Shape s{};
  const int default_head_dim = o.architecture == "qwen3" ? 128 : o.n_embd / o.n_heads;
  s.head_dim = o.head_dim > 0 ? o.head_dim : default_head_dim;
  need(s.head_dim > 0 && s.head_dim % 2 == 0, "head_dim is even");
  s.n_q = o.n_heads * s.head_dim;
  s.n_kv = o.n_kv_heads * s.head_dim;
  s.freq_base =
      o.architecture == "llama" ? (o.rope == TinyRope::llama3 ? 500000.0f : 10000.0f) : 1000000.0f;
  s.rope_original_ctx = o.n_ctx / 4;
  s.embedding_dtype = o.embedding_dtype.value_or(o.dtype);
  const int block = std::max(dtype_info(o.dtype).block_elems,
                             dtype_info(o.richer_dtype.value_or(o.dtype)).block_elems);
  need(o.n_embd % block == 0 && o.n_ff % block == 0 && s.n_q % block == 0,
       "n_embd, n_ff and n_heads * head_dim are multiples of the type's block");
  need(o.n_embd % dtype_info(s.embedding_dtype).block_elems == 0,
       "n_embd is a multiple of the embedding type's block");
  return s;
}

// llama_ftype of llama.h, which transformers and llama.cpp only display.
std::uint32_t file_type(DType dtype) {
  switch (dtype) {
    case DType::F32:
      return 0;
    case DType::F16:
      return 1;
    case DType::Q4_0:
      return 2;
    case DType::Q4_1:
      return 3;
    case DType::Q8_0:
      return 7;
    case DType::Q5_0:
      return 8;
    case DType::Q5_1:
      return 9;
    case DType::Q2_K:
      return 10;
    case DType::Q3_K:
      return 12;
    case DType::Q4_K:
      return 15;
    case DType::Q5_K:
      return 17;
    case DType::Q6_K:
      return 18;
    case DType::IQ4_NL:
      return 25;
    case DType::IQ4_XS:
      return 30;
    case DType::BF16:
      return 32;
    case DType::MXFP4:
      return 38;
  }
  return 0;
}

std::uint32_t u32(int n) {
  return static_cast<std::uint32_t>(n);
}

void set_config(GgufWriter& w, const TinyModelOptions& o, const Shape& s) {
  const std::string& a = o.architecture;
  w.set("general.architecture", a).set("general.type", "model").set("general.name", "Tiny " + a);
  w.set(a + ".block_count", u32(o.n_layers)).set(a + ".context_length", u32(o.n_ctx));
  w.set(a + ".embedding_length", u32(o.n_embd)).set(a + ".feed_forward_length", u32(o.n_ff));
  w.set(a + ".attention.head_count", u32(o.n_heads))
      .set(a + ".attention.head_count_kv", u32(o.n_kv_heads));
  w.set(a + ".rope.freq_base", s.freq_base).set(a + ".attention.layer_norm_rms_epsilon", 1e-6f);
  if (a == "qwen3" || s.n_q != o.n_embd)
    w.set(a + ".attention.key_length", u32(s.head_dim))
        .set(a + ".attention.value_length", u32(s.head_dim));
  if (a == "llama") {
    w.set("llama.rope.dimension_count", u32(s.head_dim));
    w.set("llama.vocab_size", static_cast<std::uint32_t>(tiny_tokens().size()));
  }
  if (o.rope == TinyRope::linear)
    w.set(a + ".rope.scaling.type", "linear").set(a + ".rope.scaling.factor", 2.0f);
  if (o.rope == TinyRope::yarn) {
    w.set(a + ".rope.scaling.type", "yarn").set(a + ".rope.scaling.factor", 4.0f);
    w.set(a + ".rope.scaling.original_context_length", u32(s.rope_original_ctx));
  }
  w.set("general.file_type", file_type(o.dtype))
      .set("general.quantization_version", std::uint32_t{2});
}

// Clears the screen, sets the title, turns the writing direction.
constexpr std::string_view kEscapes =
    "\x1b[2J\x1b]0;x\x07\r\xc2\x9b"
    "2J\xe2\x80\xae\x7f";

void add_escapes(GgufWriter& w, std::vector<std::string>& tokens) {
  const std::string text(kEscapes);
  w.erase("general.name").set("general.name", text).set("general.description", text);
  w.set_array("general.tags", std::vector<std::string>{text, text});
  for (std::size_t i = 290; i + std::size(kSpecials) < tokens.size(); ++i)
    tokens[i] = text + std::to_string(i);
}

void set_vocabulary(GgufWriter& w, bool escapes) {
  std::vector<std::string> tokens = tiny_tokens();
  if (escapes) add_escapes(w, tokens);
  const auto n = static_cast<std::uint32_t>(tokens.size());
  std::vector<std::int32_t> types(n, 1);
  for (std::size_t i = n - std::size(kSpecials); i < n; ++i) types[i] = 3;
  w.set("tokenizer.ggml.model", "gpt2").set("tokenizer.ggml.pre", "qwen2");
  w.set_array("tokenizer.ggml.tokens", tokens).set_array("tokenizer.ggml.token_type", types);
  w.set_array("tokenizer.ggml.merges", tiny_merges());
  w.set("tokenizer.ggml.eos_token_id", n - 1).set("tokenizer.ggml.padding_token_id", n - 3);
  w.set("tokenizer.ggml.bos_token_id", n - 3).set("tokenizer.ggml.add_bos_token", false);
  w.set("tokenizer.chat_template",
        escapes ? std::string(kEscapes).append(kChatTemplate) : std::string(kChatTemplate));
}

// Adds tensors, each from a seed of its own.
class Weights {
 public:
  Weights(GgufWriter& writer, std::uint64_t seed) : writer_(writer), seeds_(seed) {}

  // Normal values whose product with a vector of unit variance has deviation `gain`.
  void matrix(const std::string& name, DType dtype, int rows, int cols, float gain) {
    const float scale = gain / std::sqrt(static_cast<float>(cols));
    writer_.add_tensor(name, dtype, rows, cols,
                       random_weights(dtype, rows, cols, scale, seeds_.bits()));
  }
  void vector(const std::string& name, int n, float mean, float deviation) {
    std::vector<float> values =
        random_normal(static_cast<std::size_t>(n), seeds_.bits(), deviation);
    for (float& v : values) v += mean;
    writer_.add_tensor(name, DType::F32, 0, n, bytes_of(values));
  }

 private:
  GgufWriter& writer_;
  Random seeds_;
};

// The factors of Llama 3.1, for an original context that a test can pass: LlamaModel in llama.cpp's
// conversion/llama.py.
std::vector<float> llama3_factors(const Shape& s) {
  constexpr double factor = 8, low_factor = 1, high_factor = 4;
  const double original = s.rope_original_ctx;
  std::vector<float> out;
  for (int i = 0; i < s.head_dim; i += 2) {
    const double wavelength =
        2 * std::numbers::pi *
        std::pow(static_cast<double>(s.freq_base), static_cast<double>(i) / s.head_dim);
    double f = factor;
    if (wavelength < original / high_factor) {
      f = 1;
    } else if (wavelength <= original / low_factor) {
      const double smooth = (original / wavelength - low_factor) / (high_factor - low_factor);
      f = 1 / ((1 - smooth) / factor + smooth);
    }
    out.push_back(static_cast<float>(f));
  }
  return out;
}

void add_layer(Weights& w, const TinyModelOptions& o, const Shape& s, int layer) {
  const DType richer = layer % 2 == 0 ? o.richer_dtype.value_or(o.dtype) : o.dtype;
  const auto name = [&](const char* suffix) { return fmt::format("blk.{}.{}", layer, suffix); };
  w.vector(name("attn_norm.weight"), o.n_embd, 1, 0.1f);
  w.matrix(name("attn_q.weight"), o.dtype, s.n_q, o.n_embd, 1);
  w.matrix(name("attn_k.weight"), o.dtype, s.n_kv, o.n_embd, 1);
  w.matrix(name("attn_v.weight"), richer, s.n_kv, o.n_embd, 1);
  if (o.architecture == "qwen2") {
    w.vector(name("attn_q.bias"), s.n_q, 0, 0.5f);
    w.vector(name("attn_k.bias"), s.n_kv, 0, 0.5f);
    w.vector(name("attn_v.bias"), s.n_kv, 0, 0.5f);
  }
  if (o.architecture == "qwen3") {
    w.vector(name("attn_q_norm.weight"), s.head_dim, 1, 0.1f);
    w.vector(name("attn_k_norm.weight"), s.head_dim, 1, 0.1f);
  }
  w.matrix(name("attn_output.weight"), o.dtype, o.n_embd, s.n_q, 1.5f);
  w.vector(name("ffn_norm.weight"), o.n_embd, 1, 0.1f);
  w.matrix(name("ffn_gate.weight"), o.dtype, o.n_ff, o.n_embd, 1);
  w.matrix(name("ffn_up.weight"), o.dtype, o.n_ff, o.n_embd, 1);
  w.matrix(name("ffn_down.weight"), richer, o.n_embd, o.n_ff, 1.5f);
}

}  // namespace

std::vector<std::string> tiny_merges() {
  return {std::begin(kMerges), std::end(kMerges)};
}

std::vector<std::string> tiny_tokens() {
  std::vector<std::string> out = byte_tokens();
  for (const std::string_view merge : kMerges) {
    const std::size_t space = merge.find(' ');
    out.push_back(std::string(merge.substr(0, space)) + std::string(merge.substr(space + 1)));
  }
  out.insert(out.end(), std::begin(kSpecials), std::end(kSpecials));
  return out;
}

GgufWriter tiny_model_writer(const TinyModelOptions& options) {
  const Shape s = resolve(options);
  const auto n_vocab = static_cast<int>(tiny_tokens().size());
  GgufWriter writer;
  set_config(writer, options, s);
  set_vocabulary(writer, options.escapes);
  Weights w(writer, options.seed);
  w.matrix("token_embd.weight", s.embedding_dtype, n_vocab, options.n_embd, 2);
  if (options.rope == TinyRope::llama3) {
    const std::vector<float> factors = llama3_factors(s);
    writer.add_tensor("rope_freqs.weight", DType::F32, 0, s.head_dim / 2, bytes_of(factors));
  }
  for (int layer = 0; layer < options.n_layers; ++layer) add_layer(w, options, s, layer);
  w.vector("output_norm.weight", options.n_embd, 1, 0.1f);
  if (!options.tied) w.matrix("output.weight", s.embedding_dtype, n_vocab, options.n_embd, 2);
  return writer;
}

std::vector<std::byte> make_tiny_model(const TinyModelOptions& options) {
  return tiny_model_writer(options).finish();
}

}  // namespace haikuda::test
