// What can be told from the file alone. A fault that keeps every number plausible, such as two
// layers swapped, cannot: comparing with another run finds it.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>

#include <fmt/format.h>

#include "inspect/rules.h"
#include "quant/dequantize.h"

namespace haikuda {
namespace {

constexpr int kBlock = 32;  // elements whose size is compared
// Greatest block RMS over the tensor's. Single weights of sound models reach a hundred.
constexpr double kUsualBlockRatio = 100, kMaxBlockRatio = 1000;
constexpr double kMaxLayerRatio = 50;  // RMS of a tensor over that of its like in other layers
constexpr double kLeastNorm = 1e-4, kGreatestNorm = 1e3;  // RMS of a norm's weights
constexpr double kLeastEps = 1e-13, kGreatestEps = 1e-3;

struct TensorFacts {
  const TensorView* tensor = nullptr;
  int layer = -1;
  std::string kind = {};  // the name without "blk.N."
  std::int64_t n_non_finite = 0, first_non_finite = -1;
  double rms = 0, greatest_block = 0;  // RMS of all, and of the 32 elements that are greatest
  std::int64_t greatest_row = 0;
};

// The layer of "blk.N.kind", and kind.
std::pair<int, std::string> split_name(const std::string& name) {
  int layer = -1;
  if (!name.starts_with("blk.")) return {-1, name};
  const char* end = name.data() + name.size();
  const auto [rest, error] = std::from_chars(name.data() + 4, end, layer);
  if (error != std::errc{} || rest == end) return {-1, name};
  return {layer, std::string(rest + 1, end)};
}

// Where a tensor is used first.
std::optional<Stage> stage_of(const std::string& kind) {
  static const std::map<std::string, Stage> kStageOf = {{"token_embd.weight", Stage::token_embd},
                                                        {"output.weight", Stage::logits},
                                                        {"output_norm.weight", Stage::output_norm},
                                                        {"rope_freqs.weight", Stage::rope_theta},
                                                        {"attn_norm.weight", Stage::attn_norm},
                                                        {"attn_q.weight", Stage::q},
                                                        {"attn_k.weight", Stage::k},
                                                        {"attn_v.weight", Stage::v},
                                                        {"attn_q.bias", Stage::q},
                                                        {"attn_k.bias", Stage::k},
                                                        {"attn_v.bias", Stage::v},
                                                        {"attn_q_norm.weight", Stage::q_norm},
                                                        {"attn_k_norm.weight", Stage::k_norm},
                                                        {"attn_output.weight", Stage::attn_proj},
                                                        {"ffn_norm.weight", Stage::ffn_norm},
                                                        {"ffn_gate.weight", Stage::ffn_gate},
                                                        {"ffn_up.weight", Stage::ffn_up},
                                                        {"ffn_down.weight", Stage::ffn_down}};
  const auto it = kStageOf.find(kind);
  return it == kStageOf.end() ? std::nullopt : std::optional(it->second);
}

TensorFacts facts_of(const TensorView& t) {
  TensorFacts f{.tensor = &t};
  std::tie(f.layer, f.kind) = split_name(t.name);
  std::vector<float> row(static_cast<std::size_t>(t.cols));
  double sum = 0;
  for (std::int64_t r = 0; r < t.rows; ++r) {
    dequantize_row(t.dtype, t.row(r), row.data(), t.cols);
    for (std::size_t begin = 0; begin < row.size(); begin += kBlock) {
      const std::size_t end = std::min(begin + kBlock, row.size());
      double block = 0;
      for (std::size_t i = begin; i < end; ++i) {
        const double x = static_cast<double>(row[i]);
        if (std::isfinite(x))
          block += x * x;
        else if (f.n_non_finite++ == 0)
          f.first_non_finite = r;
      }
      sum += block;
      block /= static_cast<double>(end - begin);
      if (block > f.greatest_block) f.greatest_block = block, f.greatest_row = r;
    }
  }
  f.rms = std::sqrt(sum / static_cast<double>(t.size()));
  f.greatest_block = std::sqrt(f.greatest_block);
  return f;
}

Verdict about(const TensorFacts& f, std::string rule) {
  return {.group = "file", .rule = std::move(rule), .stage = stage_of(f.kind), .layer = f.layer};
}

using AllFacts = std::vector<TensorFacts>;

void check_finite(const AllFacts& all, Diagnosis& out) {
  const auto bad =
      std::find_if(all.begin(), all.end(), [](const TensorFacts& f) { return f.n_non_finite > 0; });
  if (bad == all.end()) {
    out.add({.group = "file",
             .rule = "all weights are finite",
             .figure = "0 are not",
             .threshold = "0"});
    return;
  }
  Verdict v = about(*bad, "all weights are finite");
  v.grade = Grade::red;
  v.figure = fmt::format("{} in {}", bad->n_non_finite, bad->tensor->name);
  v.threshold = "0";
  v.cause = fmt::format("NaN or infinity in the file: {}, row {}", bad->tensor->name,
                        bad->first_non_finite);
  out.add(std::move(v));
}

void check_zeros(const AllFacts& all, Diagnosis& out) {
  std::string names;
  const TensorFacts* first = nullptr;
  for (const TensorFacts& f : all) {
    // A bias or factors of zeros are the converter's way to say none.
    if (f.rms > 0 || f.n_non_finite > 0 || f.kind.ends_with(".bias")) continue;
    if (first == nullptr) first = &f;
    if (names.size() < 60) names += (names.empty() ? "" : ", ") + f.tensor->name;
  }
  if (first == nullptr) {
    out.add(
        {.group = "file", .rule = "no tensor is all zeros", .figure = "0 are", .threshold = "0"});
    return;
  }
  Verdict v = about(*first, "no tensor is all zeros");
  v.grade = Grade::red;
  v.figure = names;
  v.threshold = "none";
  v.cause = fmt::format("{} is all zeros in the file", first->tensor->name);
  out.add(std::move(v));
}

// A block of a tensor that is far greater than the tensor.
void check_blocks(const AllFacts& all, Diagnosis& out) {
  const TensorFacts* worst = nullptr;
  double greatest = 0;
  for (const TensorFacts& f : all) {
    if (f.tensor->rows == 1 || f.rms == 0) continue;
    // The block's own share is left out, so that one block cannot hide behind itself.
    const double n = static_cast<double>(f.tensor->size());
    const double others = f.rms * f.rms - f.greatest_block * f.greatest_block * kBlock / n;
    const double ratio = f.greatest_block / std::sqrt(std::max(others, 1e-30));
    if (worst == nullptr || ratio > greatest) worst = &f, greatest = ratio;
  }
  if (worst == nullptr) return;
  Verdict v = about(*worst, "no block of weights is far greater than its tensor");
  v.figure = fmt::format("{:.3g} times in {}", greatest, worst->tensor->name);
  v.threshold = fmt::format("<= {}", kUsualBlockRatio);
  if (greatest > kUsualBlockRatio) {
    v.grade = greatest > kMaxBlockRatio ? Grade::red : Grade::warning;
    v.cause = fmt::format("a block scale is off in the file: {}, row {}", worst->tensor->name,
                          worst->greatest_row);
  } else {
    v.stage.reset();
    v.layer = -1;
  }
  out.add(std::move(v));
}

// The size of a tensor among its like of all layers.
void check_layers_alike(const AllFacts& all, Diagnosis& out) {
  std::map<std::string, std::vector<double>> sizes;
  for (const TensorFacts& f : all)
    if (f.layer >= 0 && f.rms > 0 && !f.kind.ends_with(".bias")) sizes[f.kind].push_back(f.rms);
  const TensorFacts* worst = nullptr;
  double greatest = 1;
  for (const TensorFacts& f : all) {
    if (f.layer < 0 || f.rms == 0 || f.kind.ends_with(".bias")) continue;
    std::vector<double>& same = sizes[f.kind];
    std::nth_element(same.begin(), same.begin() + static_cast<std::ptrdiff_t>(same.size() / 2),
                     same.end());
    const double median = same[same.size() / 2];
    const double ratio = std::max(f.rms / median, median / f.rms);
    if (ratio > greatest) greatest = ratio, worst = &f;
  }
  Verdict v{.group = "file", .rule = "tensors of a kind are alike in all layers"};
  v.figure = fmt::format("RMS {:.3g} times the median", greatest);
  v.threshold = fmt::format("<= {}", kMaxLayerRatio);
  if (worst != nullptr && greatest > kMaxLayerRatio) {
    v.grade = Grade::warning;
    v.stage = stage_of(worst->kind);
    v.layer = worst->layer;
    v.cause = fmt::format("{} is of another size than in the other layers", worst->tensor->name);
  }
  out.add(std::move(v));
}

double swapped_bytes(float x) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &x, sizeof bits);
  bits = __builtin_bswap32(bits);
  std::memcpy(&x, &bits, sizeof bits);
  return static_cast<double>(x);
}

// Norms are near 1; swapped bytes make anything of them.
void check_norms(const AllFacts& all, Diagnosis& out) {
  Verdict v{.group = "file", .rule = "norms have a usual size, bytes the usual order"};
  v.threshold = fmt::format("RMS {} to {}", kLeastNorm, kGreatestNorm);
  double least = std::numeric_limits<double>::infinity(), greatest = 0;
  for (const TensorFacts& f : all) {
    if (!f.kind.ends_with("norm.weight")) continue;
    least = std::min(least, f.rms);
    greatest = std::max(greatest, f.rms);
    if ((f.rms >= kLeastNorm && f.rms <= kGreatestNorm) || v.grade != Grade::good) continue;
    v.grade = Grade::red;
    v.stage = stage_of(f.kind);
    v.layer = f.layer;
    const double turned =
        f.tensor->dtype == DType::F32 ? std::fabs(swapped_bytes(to_float(*f.tensor)[0])) : 0;
    v.cause = turned > kLeastNorm && turned < kGreatestNorm
                  ? fmt::format("the bytes of {} are in the other order", f.tensor->name)
                  : fmt::format("{} has an implausible size", f.tensor->name);
  }
  v.figure = fmt::format("RMS {:.3g} to {:.3g}", least, greatest);
  out.add(std::move(v));
}

void check_metadata(const Model& model, Diagnosis& out) {
  const ModelConfig& c = model.config;
  out.add({.group = "file",
           .rule = "every tensor has one role, its shape as the metadata says",
           .figure = fmt::format("{} of {} tensors, {} layers", model.weights.n_tensors,
                                 model.files.tensors.size(), c.n_layers),
           .threshold = "all"});
  const double eps = static_cast<double>(c.rms_eps);
  Verdict v{.group = "file", .rule = "the norms' epsilon is usual"};
  v.figure = figure_text(eps);
  v.threshold = fmt::format("{} to {}", kLeastEps, kGreatestEps);
  if (eps < kLeastEps || eps > kGreatestEps) {
    v.grade = Grade::red;
    v.stage = Stage::attn_norm;
    v.layer = 0;
    v.cause = "attention.layer_norm_rms_epsilon is far off in the file";
  }
  out.add(std::move(v));
  const std::string key = std::string(c.architecture.name) + ".rope.freq_base";
  Verdict base{.group = "file", .rule = "RoPE's base is in the metadata"};
  base.figure = fmt::format("{}", c.rope.freq_base);
  base.threshold = "present";
  if (!model.files.metadata.contains(key) && c.architecture.name != "llama") {
    base.grade = Grade::warning;
    base.cause = key + " is missing; 10000 is assumed, which few models of this kind have";
  }
  out.add(std::move(base));
}

}  // namespace

void check_file(const Model& model, Diagnosis& out) {
  check_metadata(model, out);
  AllFacts all;
  for (const TensorView& t : model.files.tensors) all.push_back(facts_of(t));
  check_finite(all, out);
  check_zeros(all, out);
  check_blocks(all, out);
  check_layers_alike(all, out);
  check_norms(all, out);
}

}  // namespace haikuda
