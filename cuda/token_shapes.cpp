#include "cuda/token_shapes.h"

#include <algorithm>
#include <climits>
#include <initializer_list>
#include <iterator>
#include <numeric>

#include "cuda/layout.h"

namespace haikuda::cuda {
namespace {

// Bytes on their way to a block (TokenShape::window): as many as its share of the bandwidth needs
// where the memory is the bound, fewer where the exchange between blocks is, in layers that are not
// much larger than the ring.
constexpr int kBytesOfLarge = 57'000, kBytesOfSmall = 28'000;
constexpr std::size_t kRingsOfLargeLayer = 4;

int rounded_up(int x, int step) {
  return ceil_of(x, step) * step;
}

// Of matrices one after the other, or of alternating gates and ups.
TokenShape make_shape(TokenOutput output,
                      std::initializer_list<DeviceTensor> matrices,
                      int n_blocks) {
  const DeviceTensor& of_all = *matrices.begin();
  const MatrixPlanes planes = planes_of(of_all);
  const TokenUnitBytes unit = token_unit_bytes(of_all.dtype);
  TokenShape shape{};
  shape.output = output, shape.cols = of_all.cols;
  shape.inverse_cols = 1.0f / static_cast<float>(of_all.cols);
  shape.row_bytes = static_cast<int>(planes.row_bytes[0]);
  shape.side_row_bytes = static_cast<int>(planes.row_bytes[1]);
  std::fill(std::begin(shape.first_row), std::end(shape.first_row), INT_MAX);
  int n = 0;
  for (const DeviceTensor& m : matrices) {
    shape.first_row[n] = shape.first_out[n] = shape.n_rows;
    const MatrixPlanes of_matrix = planes_of(m);
    shape.side_start[n] = unit.side == 0 ? 0 : of_matrix.data[1] - of_matrix.data[0];
    shape.n_rows += m.rows;
    ++n;
  }
  const bool is_gate_up = output == TokenOutput::gate_up;
  const int n_pairs = is_gate_up ? shape.n_rows / 2 : pairs_of(shape.n_rows);
  shape.unit = is_gate_up ? 4 : 1;  // four values are handed on together
  shape.act_order = token_act_order(of_all.dtype);
  const int n_shares = n_pairs / shape.unit;
  shape.pairs_of_block = n_shares / n_blocks * shape.unit;
  shape.n_longer = n_shares % n_blocks;
  return shape;
}

void cut_row(TokenShape& shape, int span_units, TokenUnitBytes unit) {
  const int n_units = shape.cols / kTokenUnit;
  shape.span_units = span_units;
  shape.n_spans = ceil_of(n_units, span_units);
  shape.last_units = n_units - (shape.n_spans - 1) * span_units;
  shape.span_bytes = span_units * unit.weights;
  shape.side_span_bytes = span_units * unit.side;
  shape.side_copy_bytes = unit.side_copy(span_units);
}

// Slots of about so many bytes together.
int window_of(int bytes, const TokenRingSize& ring, int n_feeders) {
  const int n_slots = rounded_up(ceil_of(bytes, ring.slot_bytes()), n_feeders);
  return std::min(n_slots, ring.n_slots - n_feeders);
}

// Bytes of weights that a block of so many reads in a layer.
std::size_t bytes_of_layer(std::span<const TokenShape> shapes, int n_blocks) {
  std::size_t bytes = 0;
  for (const TokenShape& s : shapes.first(kTokenSteps))
    bytes += static_cast<std::size_t>(s.n_rows) * static_cast<std::size_t>(s.row_bytes);
  return bytes / static_cast<std::size_t>(n_blocks);
}

}  // namespace

std::array<TokenShape, kTokenShapes> token_shapes(const DeviceWeights& weights, int n_blocks) {
  const DeviceLayerWeights& w = weights.layers.front();
  return {make_shape(TokenOutput::vector, {w.attn_q, w.attn_k, w.attn_v}, n_blocks),
          make_shape(TokenOutput::vector, {w.attn_output}, n_blocks),
          make_shape(TokenOutput::gate_up, {w.ffn_gate, w.ffn_up}, n_blocks),
          make_shape(TokenOutput::vector, {w.ffn_down}, n_blocks),
          make_shape(TokenOutput::logits, {weights.output}, n_blocks)};
}

TokenRingSize token_ring(std::size_t bytes,
                         int n_units,
                         TokenUnitBytes unit,
                         std::size_t least_slot_bytes) {
  constexpr int kLeast = kTokenSharers * kTokenLeastUnits, kMost = kTokenSharers * kTokenMostUnits;
  constexpr int kStep = kTokenSharers * kTokenUnitsStep, kLeastSlots = 8;
  const std::size_t of_lane = unit.side == 0 ? 16 : 32;  // that lanes of neighbouring rows read
  const int even = rounded_up(ceil_of(n_units, ceil_of(n_units, kMost)), kStep);
  TokenRingSize best{};
  for (int units = std::max(even, kLeast); units >= kLeast; units -= kStep) {
    const int side_start = units * unit.weights;
    const std::size_t row =
        std::max(aligned(static_cast<std::size_t>(side_start + unit.side_copy(units)), 2 * of_lane),
                 aligned(least_slot_bytes / kTokenTileRows, 2 * of_lane)) +
        of_lane;
    // A place of the ring belongs to one group of warps, and to one feeder.
    const int in_turn = std::lcm(kTokenGroups, unit.n_feeders());
    const int n_slots =
        std::min(static_cast<int>(bytes / (kTokenTileRows * row + kTokenBarrierBytes)),
                 kTokenSlots) /
        in_turn * in_turn;
    if (n_slots < kLeastSlots || n_slots * units <= best.n_slots * best.span_units) continue;
    best = {n_slots, units, static_cast<int>(row), side_start};
    if (n_units <= kMost) break;  // whole rows
  }
  return best;
}

bool cut_into_slots(std::span<TokenShape> shapes,
                    const TokenRingSize& ring,
                    TokenUnitBytes unit,
                    int n_blocks) {
  const bool is_large = bytes_of_layer(shapes, n_blocks) > kRingsOfLargeLayer * ring.bytes();
  if (is_large && unit.side != 0) return false;
  for (TokenShape& s : shapes) {
    cut_row(s, ring.span_units, unit);
    const bool is_bound_by_memory = is_large || s.output == TokenOutput::logits;
    s.window =
        window_of(is_bound_by_memory ? kBytesOfLarge : kBytesOfSmall, ring, unit.n_feeders());
  }
  return true;
}

}  // namespace haikuda::cuda
