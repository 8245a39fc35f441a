#include "inspect/explain.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "inspect/nmse.h"

namespace haikuda {
namespace {

using recompute::Row;
using recompute::RowView;

constexpr double kBases[] = {1e4, 1e6, 5e5, 1e5, 5e6};  // of RoPE, that models have

bool all_zero(RowView row) {
  return std::all_of(row.begin(), row.end(), [](float x) { return x == 0; });
}

double inner(RowView a, RowView b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

// The c of got = c · want that fits best.
double best_factor(RowView got, RowView want) {
  const double norm = inner(want, want);
  return norm > 0 ? inner(got, want) / norm : 0;
}

Row without_mean(RowView x) {
  double mean = 0;
  for (const float v : x) mean += static_cast<double>(v) / static_cast<double>(x.size());
  Row out;
  for (const float v : x) out.push_back(static_cast<float>(static_cast<double>(v) - mean));
  return out;
}

}  // namespace

bool Explainer::same(RowView a, RowView b) const {
  return !b.empty() && all_finite(b) && nmse(a, b) <= bound;
}

std::string Explainer::embedding(RowView got, const TensorView& table, int token) const {
  if (all_zero(got)) return "the embedding is zero on the device";
  for (const int other : {token + 1, token - 1})
    if (other >= 0 && other < table.rows && same(got, recompute::weight_row(table, other)))
      return fmt::format("the row of token {} is read for token {}: off by one", other, token);
  return "not the token's row of token_embd.weight";
}

std::string Explainer::norm(RowView got,
                            RowView x,
                            RowView weight,
                            int size,
                            double eps,
                            const std::vector<Candidate>& others) const {
  if (all_zero(got)) return "the norm's weights are zero on the device";
  if (!all_finite(got)) return "not finite: the norm overflows";
  if (same(got, recompute::rms_norm(x, {}, size, eps))) return "the norm's weight is not applied";
  for (const auto& [name, other] : others)
    if (other.size() == static_cast<std::int64_t>(weight.size()) &&
        same(got, recompute::rms_norm(x, recompute::weight_row(other, 0), size, eps)))
      return fmt::format("the weights of {} are used", name);
  if (same(got, recompute::rms_norm(without_mean(x), weight, size, eps)))
    return "a LayerNorm, which subtracts the mean, in place of RMSNorm";
  const auto first = static_cast<std::size_t>(size);  // the first part tells the epsilon
  const RowView part = x.first(first);
  const double mean_square = inner(part, part) / static_cast<double>(first);
  const Row unit = recompute::rms_norm(part, weight, size, 0);
  const double factor = best_factor(got.first(first), unit);
  const double used = mean_square / (factor * factor) - mean_square;
  if (factor > 0 && used > 0 && same(got, recompute::rms_norm(x, weight, size, used)))
    return fmt::format("epsilon is about {:.2g} and not {:.2g}", used, eps);
  return "not the RMSNorm of its input";
}

std::string Explainer::sum(RowView got, RowView stream, RowView block) const {
  if (same(got, stream)) return "the block's output is not added";
  if (same(got, block)) return "the residual is not carried on";
  return "not the sum of the residual and the block's output";
}

std::string Explainer::activation(RowView got, RowView gate, RowView up) const {
  if (same(got, recompute::silu_mul(up, gate))) return "gate and up are exchanged";
  Row plain, gelu;
  for (std::size_t i = 0; i < gate.size(); ++i) {
    const double g = static_cast<double>(gate[i]), u = static_cast<double>(up[i]);
    plain.push_back(static_cast<float>(g * u));
    gelu.push_back(static_cast<float>(0.5 * g * (1 + std::erf(g / std::sqrt(2.0))) * u));
  }
  if (same(got, plain)) return "the activation is left out";
  if (nmse(got, gelu) <= 1e-5) return "GELU in place of SiLU";
  return "not silu(gate) · up";
}

std::string Explainer::angles(RowView got,
                              const recompute::Rotation& rotation,
                              int position) const {
  if (all_zero(got)) return "the position is stuck at zero";
  for (const double base : kBases) {
    Row angles;
    for (std::size_t i = 0; i < rotation.radians.size(); ++i)
      angles.push_back(static_cast<float>(
          position * std::pow(base, -2.0 * static_cast<double>(i) / rotation.n_dims)));
    if (same(got, angles)) return fmt::format("RoPE's base is {} on the device", base);
  }
  return "other angles than the metadata gives";
}

std::string Explainer::rope(RowView got,
                            RowView x,
                            const recompute::Rotation& rotation,
                            int position,
                            double freq_base) const {
  if (all_zero(got)) return "zero: not written to the slot that is read";
  if (same(got, x)) return "not rotated: the position is stuck at zero, or RoPE is not applied";
  recompute::Rotation other = rotation;
  other.style = rotation.style == RopeStyle::neox ? RopeStyle::interleaved : RopeStyle::neox;
  const char* names[] = {"neighbours (interleaved)", "halves (NEOX)"};
  const bool neox = rotation.style == RopeStyle::neox;
  if (same(got, recompute::rope(x, other, position)))
    return fmt::format("RoPE pairs {} where this architecture pairs {}", names[neox ? 0 : 1],
                       names[neox ? 1 : 0]);
  if (same(got, recompute::rope(x, rotation, 2 * position))) return "rotated twice";
  for (const int shift : {-1, 1})
    if (same(got, recompute::rope(x, rotation, position + shift)))
      return fmt::format("rotated as position {}: off by one", position + shift);
  if (same(got, recompute::rope(x, rotation, -position))) return "rotated the wrong way";
  for (const double base : kBases) {
    for (std::size_t i = 0; i < other.radians.size(); ++i)
      other.radians[i] = std::pow(base, -2.0 * static_cast<double>(i) / rotation.n_dims);
    other.style = rotation.style;
    if (same(got, recompute::rope(x, other, position)))
      return fmt::format("RoPE's base is {} and not the file's {}", base, freq_base);
  }
  return "not rotated by the angles of the metadata";
}

}  // namespace haikuda
