#include "cuda/token_shapes.h"

#include <algorithm>
#include <climits>
#include <initializer_list>
#include <iterator>
#include <numeric>

#include "cuda/layout.h"

namespace haikuda::cuda {
namespace {

// Bytes on their way to a block (TokenShape::window): mostly all there is room for where the memory
// is the bound, fewer where the exchange between blocks is, in layers that are not much larger than
// the ring.
constexpr int kBytesOfLarge = 110'000, kBytesOfHead = 57'000, kBytesOfSmall = 28'000;
constexpr std::size_t kRingsOfLargeLayer = 4;
constexpr int kLeastSlots = 8;

int rounded_up(int x, int step) {
  return ceil_of(x, step) * step;
}
// At least x, an odd number of so many bytes: rows that far apart are in different banks where
// lanes that read them together read as many of each.
int odd_number_of(int x, int bytes) {
  return rounded_up(x, 2 * bytes) + (rounded_up(x, 2 * bytes) - x >= bytes ? -bytes : bytes);
}

// ---- shapes and steps

// Of matrices one after the other, or of alternating gates and ups.
TokenShape make_shape(TokenOutput output, std::span<const DeviceTensor> matrices, int n_blocks) {
  const DeviceTensor& of_all = matrices.front();
  const TokenKind kind = token_kind(of_all.dtype);
  TokenShape shape{};
  shape.output = output, shape.dtype = of_all.dtype, shape.cols = of_all.cols;
  shape.inverse_cols = 1.0f / static_cast<float>(of_all.cols);
  std::fill(std::begin(shape.first_row), std::end(shape.first_row), INT_MAX);
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    shape.first_row[m] = shape.first_out[m] = shape.n_rows;
    shape.n_rows += matrices[m].rows;
  }
  shape.row_stride = static_cast<int>(planes_of(of_all).stride);
  const bool is_gate_up = output == TokenOutput::gate_up;
  const int n_pairs = is_gate_up ? shape.n_rows / 2 : pairs_of(shape.n_rows);
  shape.unit = is_gate_up ? 4 : 1;  // four values are handed on together
  shape.act_order = kind == TokenKind::f16 ? kActOfF16 : kActInOrder;
  shape.wants_sums = kind == TokenKind::integers && of_all.dtype != DType::Q8_0;
  const int n_shares = n_pairs / shape.unit;
  shape.pairs_of_block = n_shares / n_blocks * shape.unit;
  shape.n_longer = n_shares % n_blocks;
  return shape;
}

class StepList {
 public:
  explicit StepList(int n_blocks) : n_blocks_(n_blocks) {}
  // Steps of a kind, of so many matrices of a type have one shape, the first output of which is
  // `first_out`.
  void add(TokenStepOfLayer kind,
           TokenOutput output,
           std::initializer_list<DeviceTensor> matrices,
           const float* gamma,
           std::initializer_list<const float*> biases = {},
           int first_out = 0) {
    const DType dtype = matrices.begin()->dtype;
    const auto known = std::find_if(known_.begin(), known_.end(), [&](const Known& k) {
      return k.step == kind && k.dtype == dtype && k.n_matrices == matrices.size();
    });
    const auto index = static_cast<int>(known - known_.begin());
    if (known == known_.end()) {
      known_.push_back({kind, dtype, matrices.size()});
      TokenShape shape =
          make_shape(output, std::span(matrices.begin(), matrices.size()), n_blocks_);
      shape.step = kind;
      for (int& out : shape.first_out) out += first_out;
      shapes.push_back(shape);
    }
    TokenStep step{};
    step.shape = index, step.gamma = gamma;
    std::transform(matrices.begin(), matrices.end(), step.data,
                   [](const DeviceTensor& w) { return static_cast<const std::uint8_t*>(w.data); });
    std::copy(biases.begin(), biases.end(), step.bias);
    steps.push_back(step);
  }
  void add_none() { steps.push_back({}); }

  std::vector<TokenShape> shapes;
  std::vector<TokenStep> steps;

 private:
  struct Known {
    TokenStepOfLayer step;
    DType dtype;
    std::size_t n_matrices;
  };
  int n_blocks_;
  std::vector<Known> known_;
};

// ---- slots

// Bytes of each plane that so many units of a row have.
int plane_bytes(DType dtype, int plane, int n_units) {
  if (!is_repacked(dtype)) return plane == 0 ? 2 * kTokenUnit * n_units : 0;
  return n_units * kTokenUnit / dtype_info(dtype).block_elems *
         block_plane_bytes(dtype)[static_cast<std::size_t>(plane)];
}

// Rows in a slot so far apart that they are in different banks where lanes read both at once: of
// quantized weights those of the first plane are read one after the other.
int stride_in_slot(DType dtype, int plane, int n_bytes) {
  if (!is_repacked(dtype)) return odd_number_of(n_bytes, 16);
  return plane == 0 ? n_bytes : odd_number_of(n_bytes, 32);
}

// Cuts rows into spans of so many units; the bytes of a slot. Rows that are not cut are copied
// whole.
int cut_row(TokenShape& shape, int span_units) {
  const int n_units = shape.cols / kTokenUnit;
  shape.span_units = span_units;
  shape.n_spans = ceil_of(n_units, span_units);
  shape.last_units = n_units - (shape.n_spans - 1) * span_units;
  shape.span_steps = steps_of_units(span_units),
  shape.last_steps = steps_of_units(shape.last_units);
  shape.turn_tiles = kTokenGroups / shape.n_spans, shape.turn_spans = kTokenGroups % shape.n_spans;
  constexpr int kRow = kTokenSharers * kIntegerUnits;
  const bool is_row = kRow - kStepUnits < n_units && n_units <= kRow && shape.n_spans == 1 &&
                      dtype_info(shape.dtype).block_elems == kTokenUnit;
  shape.cut = is_row                                                      ? TokenCut::whole_rows
              : n_units % kStepUnits == 0 && span_units % kStepUnits == 0 ? TokenCut::whole_steps
                                                                          : TokenCut::any;
  int start = 0, end = 0;
  for (int p = 0; p < kMaxPlanes && plane_bytes(shape.dtype, p, n_units) != 0; ++p) {
    const int row_bytes = rounded_up(plane_bytes(shape.dtype, p, n_units), 16);
    if (shape.n_spans == 1) {
      shape.n_copies = 1;
      shape.copies[0] = {0, shape.row_stride, 0, shape.row_stride, 0};
      shape.planes[p] = {start, stride_in_slot(shape.dtype, kMaxPlanes - 1, shape.row_stride)};
      end = kTokenTileRows * shape.planes[0].stride;
    } else {
      const int span_bytes = plane_bytes(shape.dtype, p, span_units);
      const int most_before = (16 - std::gcd(span_bytes, 16)) % 16;
      const int copy_bytes = rounded_up(span_bytes + most_before, 16);
      shape.n_copies = p + 1;
      shape.copies[p] = {start, row_bytes, span_bytes, copy_bytes, end};
      shape.planes[p] = {end, stride_in_slot(shape.dtype, p, copy_bytes)};
      end += kTokenTileRows * shape.planes[p].stride;
    }
    start += row_bytes;
  }
  // Whole chunks are read, if more than a row has.
  constexpr int kBothSteps = kTokenSharers * kIntegerUnits / kStepUnits;
  if (shape.n_spans == 1 && shape.cut == TokenCut::whole_steps &&
      steps_of_units(n_units) % kBothSteps != 0)
    end += kIntegerUnits * block_plane_bytes(DType::Q8_0)[0];
  return end;
}

// Whole rows where they fit into slots of so many bytes, or the most chunks of both warps that do.
void cut_to_fit(TokenShape& shape, int slot_bytes) {
  constexpr int kBoth = kTokenSharers * kIntegerUnits;
  const int n_units = shape.cols / kTokenUnit;
  if (cut_row(shape, n_units) <= slot_bytes) return;
  int units = kBoth;
  while (units + kBoth < n_units && cut_row(shape, units + kBoth) <= slot_bytes) units += kBoth;
  cut_row(shape, units);
}

// Slots of about so many bytes together.
int window_of(int bytes, const TokenRingSize& ring, const TokenShape& shape, int n_feeders) {
  int of_slot = 0;
  for (int p = 0; p < shape.n_copies; ++p) of_slot += kTokenTileRows * shape.copies[p].copy_bytes;
  const int n_slots = rounded_up(ceil_of(bytes, of_slot), n_feeders);
  return std::min(n_slots, ring.n_slots);
}

TokenRingSize ring_of(std::size_t bytes, int slot_bytes, int warp_units, TokenKind kind) {
  // A place of the ring belongs to one group of warps, and to one feeder.
  const int in_turn = std::lcm(kTokenGroups, n_feeders_of(kind));
  const int n_slots =
      std::min(static_cast<int>(bytes) / (slot_bytes + kTokenBarrierBytes), kTokenSlots) / in_turn *
      in_turn;
  return {n_slots < kLeastSlots ? 0 : n_slots, slot_bytes, warp_units};
}

// Two bytes a weight: slots that hold a row of the residual, or an even part of it or less, so that
// the ring is as large as there is room for.
TokenRingSize plain_ring(std::span<TokenShape> shapes,
                         TokenKind kind,
                         std::size_t bytes,
                         int least_slot_bytes) {
  constexpr int kLeast = kTokenSharers * kTokenLeastUnits, kMost = kTokenSharers * kTokenMostUnits;
  constexpr int kStep = kTokenSharers * kTokenUnitsStep;
  const int n_units = shapes.front().cols / kTokenUnit;
  const int even = rounded_up(ceil_of(n_units, ceil_of(n_units, kMost)), kStep);
  TokenRingSize best{};
  for (int units = std::max(even, kLeast); units >= kLeast; units -= kStep) {
    TokenShape shape = shapes.front();
    const int slot_bytes = std::max(cut_row(shape, units), least_slot_bytes);
    const TokenRingSize ring = ring_of(bytes, slot_bytes, units / kTokenSharers, kind);
    if (ring.n_slots * units <= best.n_slots * best.warp_units * kTokenSharers) continue;
    best = ring;
    if (n_units <= kMost) break;  // whole rows
  }
  if (best.n_slots != 0)
    for (TokenShape& s : shapes) cut_row(s, best.warp_units * kTokenSharers);
  return best;
}

// Quantized weights, of different sizes: slots of the largest, of others as much as fits there.
TokenRingSize integer_ring(std::span<TokenShape> shapes, std::size_t bytes, int least_slot_bytes) {
  constexpr int kSpan = kTokenSharers * kIntegerUnits;
  const auto ring = [&](int slot_bytes) {
    return ring_of(bytes, rounded_up(slot_bytes, 16), kIntegerUnits, TokenKind::integers);
  };
  int slot_bytes = least_slot_bytes;
  for (TokenShape& s : shapes)
    slot_bytes = std::max(slot_bytes, cut_row(s, std::min(kSpan, s.cols / kTokenUnit)));
  // Whole rows where the ring is not much smaller then: a copy a row, and few slots.
  int whole_rows = 0;
  for (TokenShape& s : shapes)
    if (s.output == TokenOutput::gate_up)
      whole_rows = std::max(whole_rows, cut_row(s, s.cols / kTokenUnit));
  if (whole_rows > slot_bytes) {
    const int tiles = ceil_of(whole_rows, least_slot_bytes) * least_slot_bytes;
    if (ring(tiles).n_slots != 0) whole_rows = tiles;  // of keys
  }
  if (ring(whole_rows).n_slots != 0) slot_bytes = std::max(slot_bytes, whole_rows);
  for (TokenShape& s : shapes) cut_to_fit(s, slot_bytes);
  return ring(slot_bytes);
}

// Bytes of weights that a block of so many reads in a layer.
std::size_t bytes_of_layer(std::span<const TokenShape> shapes, int n_blocks) {
  std::size_t bytes = 0;
  for (const TokenShape& s : shapes)
    if (s.output != TokenOutput::logits)
      bytes += static_cast<std::size_t>(s.n_rows) * row_bytes(s.dtype, s.cols);
  return bytes / static_cast<std::size_t>(n_blocks);
}

}  // namespace

TokenKind kind_of(const DeviceWeights& weights) {
  const TokenKind kind = token_kind(weights.output.dtype);
  const bool suits = std::all_of(weights.layers.begin(), weights.layers.end(), [&](const auto& w) {
    const DeviceTensor matrices[] = {w.attn_q,   w.attn_k, w.attn_v,  w.attn_output,
                                     w.ffn_gate, w.ffn_up, w.ffn_down};
    return w.attn_q.dtype == w.attn_k.dtype && w.ffn_gate.dtype == w.ffn_up.dtype &&
           std::all_of(std::begin(matrices), std::end(matrices),
                       [&](const DeviceTensor& m) { return token_kind(m.dtype) == kind; });
  });
  return suits ? kind : TokenKind::none;
}

bool has_type(TokenKind kind, IntegerTypes types, DType dtype) {
  if (token_kind(dtype) != kind) return false;
  if (kind != TokenKind::integers || types == IntegerTypes::all) return true;
  if (dtype == DType::Q8_0) return true;
  return types == IntegerTypes::q4_k_m &&
         (dtype == DType::Q5_0 || dtype == DType::Q4_K || dtype == DType::Q6_K);
}

IntegerTypes integer_types(std::span<const TokenShape> shapes) {
  for (const IntegerTypes types : {IntegerTypes::q8_0, IntegerTypes::q4_k_m})
    if (std::all_of(shapes.begin(), shapes.end(), [types](const TokenShape& s) {
          return has_type(TokenKind::integers, types, s.dtype);
        }))
      return types;
  return IntegerTypes::all;
}

TokenSteps token_steps(const DeviceWeights& weights, int n_blocks) {
  bool has_v_step = false;
  StepList list(n_blocks);
  using enum TokenOutput;
  for (const DeviceLayerWeights& w : weights.layers) {
    if (w.attn_v.dtype != w.attn_q.dtype) {
      has_v_step = true;
      list.add(kTokenQkv, vector, {w.attn_q, w.attn_k}, w.attn_norm,
               {w.attn_q_bias, w.attn_k_bias});
      list.add(kTokenV, vector, {w.attn_v}, w.attn_norm, {w.attn_v_bias},
               w.attn_q.rows + w.attn_k.rows);
    } else {
      list.add(kTokenQkv, vector, {w.attn_q, w.attn_k, w.attn_v}, w.attn_norm,
               {w.attn_q_bias, w.attn_k_bias, w.attn_v_bias});
      list.add_none();
    }
    list.add(kTokenOutput, vector, {w.attn_output}, nullptr);
    list.add(kTokenGateUp, gate_up, {w.ffn_gate, w.ffn_up}, w.ffn_norm);
    list.add(kTokenDown, vector, {w.ffn_down}, nullptr);
  }
  list.add(kTokenSteps, logits, {weights.output}, weights.output_norm);
  if (has_v_step)
    for (TokenShape& shape : list.shapes) shape.wants_sums = true;  // x of q and k is that of v
  return {std::move(list.shapes), std::move(list.steps), has_v_step};
}

TokenRingSize cut_into_slots(std::span<TokenShape> shapes,
                             TokenKind kind,
                             std::size_t bytes,
                             std::size_t least_slot_bytes,
                             int n_blocks) {
  const auto least = static_cast<int>(aligned(least_slot_bytes, 16));
  const TokenRingSize ring = kind == TokenKind::integers ? integer_ring(shapes, bytes, least)
                                                         : plain_ring(shapes, kind, bytes, least);
  if (ring.n_slots == 0) return ring;
  const bool is_large = bytes_of_layer(shapes, n_blocks) > kRingsOfLargeLayer * ring.bytes();
  for (TokenShape& s : shapes) {
    const int bytes_at_once = is_large                          ? kBytesOfLarge
                              : s.output == TokenOutput::logits ? kBytesOfHead
                                                                : kBytesOfSmall;
    s.window = window_of(bytes_at_once, ring, s, n_feeders_of(kind));
  }
  return ring;
}

}  // namespace haikuda::cuda
