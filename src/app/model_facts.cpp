#include "app/model_facts.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace haikuda {
namespace {

std::string string_or_empty(const Metadata& metadata, std::string_view key) {
  const std::string* text = metadata.find_string(key);
  return text == nullptr ? std::string() : *text;
}

std::vector<TypeShare> type_shares(const std::vector<TensorView>& tensors) {
  std::vector<TypeShare> shares;
  for (const TensorView& t : tensors) {
    auto share = std::find_if(shares.begin(), shares.end(),
                              [&](const TypeShare& s) { return s.dtype == t.dtype; });
    if (share == shares.end()) share = shares.insert(share, TypeShare{t.dtype, 0, 0, 0});
    ++share->n_tensors;
    share->n_elems += static_cast<std::uint64_t>(t.size());
    share->bytes += t.bytes();
  }
  std::stable_sort(shares.begin(), shares.end(),
                   [](const TypeShare& a, const TypeShare& b) { return a.bytes > b.bytes; });
  return shares;
}

}  // namespace

std::string ModelFacts::quant() const {
  return types.empty() ? "none" : dtype_name(types.front().dtype);
}

ModelFacts model_facts(const ModelFiles& files) {
  const Metadata& metadata = files.metadata;
  ModelFacts f;
  f.file = files.name;
  f.file_bytes = files.total_bytes;
  f.architecture = string_or_empty(metadata, "general.architecture");
  f.name = string_or_empty(metadata, "general.name");
  f.types = type_shares(files.tensors);
  for (const TypeShare& share : f.types) {
    f.n_params += share.n_elems;
    f.weight_bytes += share.bytes;
  }
  f.n_ctx_train = metadata.find_int(f.architecture + ".context_length");
  f.n_layers = metadata.find_int(f.architecture + ".block_count");
  f.n_embd = metadata.find_int(f.architecture + ".embedding_length");
  if (const StringArray* tokens = metadata.find_strings("tokenizer.ggml.tokens"))
    f.n_vocab = static_cast<std::int64_t>(tokens->size());
  f.tokenizer = string_or_empty(metadata, "tokenizer.ggml.model");
  f.pre_tokenizer = string_or_empty(metadata, "tokenizer.ggml.pre");
  f.has_chat_template = metadata.contains("tokenizer.chat_template");
  return f;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array units = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < units.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.2f} {}", value, units[unit]);
}

std::string human_count(std::uint64_t n) {
  const auto value = static_cast<double>(n);
  if (n < 1'000'000) return fmt::format("{}", n);
  return n < 1'000'000'000 ? fmt::format("{:.3g}M", value / 1e6)
                           : fmt::format("{:.3g}B", value / 1e9);
}

}  // namespace haikuda
