#include "cuda/token_slots.h"

#include <algorithm>
#include <numeric>

#include "cuda/layout.h"
#include "cuda/token_shapes.h"

namespace haikuda::cuda {
namespace {

// Bytes on their way to a block (TokenShape::window): mostly all there is room for where the memory
// is the bound, fewer where the exchange between blocks is, in layers that are not much larger than
// the ring.
constexpr int kBytesOfLarge = 85'000, kBytesOfHead = 57'000, kBytesOfSmall = 28'000;
constexpr std::size_t kRingsOfLargeLayer = 4;
constexpr int kLeastSlots = 8;
// Warps that copy: more where quantized rows, which are more copies, come as fast as memory gives
// them; else they would only take the turns of those that multiply.
constexpr int kFeeders = 2, kFeedersOfLarge = 4;
static_assert(kFeedersOfLarge <= kTokenFeeders);

int rounded_up(int x, int step) {
  return ceil_of(x, step) * step;
}
// At least x, an odd number of so many bytes: rows that far apart in a slot are in different banks
// where lanes that read them together read as many of each. The first plane of quantized weights is
// read row by row.
int odd_number_of(int x, int bytes) {
  return rounded_up(x, 2 * bytes) + (rounded_up(x, 2 * bytes) - x >= bytes ? -bytes : bytes);
}

// ---- a row in slots

// Quantized weights: whole rows, a copy each, their planes as they lie in memory. Where what is
// copied lies in a slot, and the slot's bytes.
int place_rows(TokenShape& shape, const MatrixPlanes& planes) {
  const int stride = odd_number_of(shape.row_stride, 32);
  shape.n_copies = 1;
  shape.copies[0] = {0, shape.row_stride, 0, shape.row_stride, 0, stride};
  int start = 0;
  for (int p = 0; p < kMaxPlanes && planes.row_bytes[p] != 0; ++p) {
    shape.planes[p] = {start, stride};
    start += static_cast<int>(planes.row_bytes[p]);
  }
  return kTokenTileRows * stride;
}
// The same of rows that are cut into spans: a copy a plane of each.
int place_spans(TokenShape& shape, const MatrixPlanes& planes) {
  const auto block_bytes = block_plane_bytes(shape.dtype);
  const int n_blocks = shape.span_units * kTokenUnit / dtype_info(shape.dtype).block_elems;
  int start = 0, end = 0;
  for (int p = 0; p < kMaxPlanes && planes.row_bytes[p] != 0; ++p) {
    const auto row_bytes = static_cast<int>(planes.row_bytes[p]);
    const int span_bytes = n_blocks * block_bytes[static_cast<std::size_t>(p)];
    const int most_before = (16 - std::gcd(span_bytes, 16)) % 16;
    const int copy_bytes = rounded_up(span_bytes + most_before, 16);
    const int stride = p == 0 ? copy_bytes : odd_number_of(copy_bytes, 32);
    shape.n_copies = p + 1;
    shape.copies[p] = {start, row_bytes, span_bytes, copy_bytes, end, stride};
    shape.planes[p] = {end, stride};
    start += row_bytes;
    end += kTokenTileRows * stride;
  }
  return end;
}
int place_planes(TokenShape& shape) {
  const MatrixPlanes planes = planes_of({shape.dtype, 1, shape.cols, nullptr});
  return shape.n_spans == 1 ? place_rows(shape, planes) : place_spans(shape, planes);
}
// Two bytes a weight. Rows that are not cut are short, and so are layers: two copies a row take
// longer to start than one and delay less what blocks hand to each other.
int place_halves(TokenShape& shape) {
  const int span_bytes = 2 * kTokenUnit * shape.span_units;
  const int stride = odd_number_of(span_bytes, 16);
  if (shape.n_spans == 1) {
    const int first = rounded_up(ceil_of(shape.row_stride, 2), 16), rest = shape.row_stride - first;
    shape.n_copies = 2;
    shape.copies[0] = {0, first, 0, first, 0, stride};
    shape.copies[1] = {first, rest, 0, rest, first, stride};
  } else {
    shape.n_copies = 1;
    shape.copies[0] = {0, shape.row_stride, span_bytes, span_bytes, 0, stride};
  }
  shape.planes[0] = {0, stride};
  return kTokenTileRows * stride;
}

// Cuts rows into spans of so many units; the bytes of a slot.
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
  const int end = is_repacked(shape.dtype) ? place_planes(shape) : place_halves(shape);
  // Whole chunks are read, if more than a row has.
  constexpr int kBothSteps = kTokenSharers * kIntegerUnits / kStepUnits;
  if (shape.n_spans == 1 && shape.cut == TokenCut::whole_steps &&
      steps_of_units(n_units) % kBothSteps != 0)
    return end + kIntegerUnits * block_plane_bytes(DType::Q8_0)[0];
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

// Cuts whole rows in two where groups of warps that take slots in turn then have more even shares:
// of five tiles one group has two, of their ten halves none more than three.
void even_out(TokenShape& shape) {
  const int half = rounded_up(ceil_of(shape.cols / kTokenUnit, 2), kStepUnits);
  const int most_pairs = shape.pairs_of_block + (shape.n_longer > 0 ? shape.unit : 0);
  const int n_tiles = ceil_of(most_pairs, kTokenTilePairs);
  const bool is_more_even = ceil_of(2 * n_tiles, kTokenGroups) < 2 * ceil_of(n_tiles, kTokenGroups);
  if (shape.n_spans == 1 && half >= kTokenSharers * kIntegerUnits && is_more_even)
    cut_row(shape, half);
}

// Slots of about so many bytes together.
int window_of(int bytes, const TokenRingSize& ring, const TokenShape& shape) {
  int of_slot = 0;
  for (int p = 0; p < shape.n_copies; ++p) of_slot += kTokenTileRows * shape.copies[p].copy_bytes;
  const int n_slots = rounded_up(ceil_of(bytes, of_slot), ring.n_feeders);
  return std::min(n_slots, ring.n_slots);
}

TokenRingSize ring_of(std::size_t bytes, int slot_bytes, int warp_units) {
  // A place of the ring belongs to one group of warps, and to one feeder.
  static_assert(kTokenGroups % kFeedersOfLarge == 0 && kTokenGroups % kFeeders == 0);
  const int n_slots =
      std::min(static_cast<int>(bytes) / (slot_bytes + kTokenBarrierBytes), kTokenSlots) /
      kTokenGroups * kTokenGroups;
  return {n_slots < kLeastSlots ? 0 : n_slots, slot_bytes, warp_units, kFeeders};
}

// Two bytes a weight: slots that hold a row of the residual, or an even part of it or less, so that
// the ring is as large as there is room for.
TokenRingSize plain_ring(std::span<TokenShape> shapes, std::size_t bytes, int least_slot_bytes) {
  constexpr int kLeast = kTokenSharers * kTokenLeastUnits, kMost = kTokenSharers * kTokenMostUnits;
  constexpr int kStep = kTokenSharers * kTokenUnitsStep;
  const int n_units = shapes.front().cols / kTokenUnit;
  const int even = rounded_up(ceil_of(n_units, ceil_of(n_units, kMost)), kStep);
  TokenRingSize best{};
  for (int units = std::max(even, kLeast); units >= kLeast; units -= kStep) {
    TokenShape shape = shapes.front();
    const int slot_bytes = std::max(cut_row(shape, units), least_slot_bytes);
    const TokenRingSize ring = ring_of(bytes, slot_bytes, units / kTokenSharers);
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
    return ring_of(bytes, rounded_up(slot_bytes, 16), kIntegerUnits);
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
  for (TokenShape& s : shapes) {
    cut_to_fit(s, slot_bytes);
    even_out(s);
  }
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

TokenRingSize cut_into_slots(std::span<TokenShape> shapes,
                             TokenKind kind,
                             std::size_t bytes,
                             std::size_t least_slot_bytes,
                             int n_blocks) {
  const auto least = static_cast<int>(aligned(least_slot_bytes, 16));
  TokenRingSize ring = kind == TokenKind::integers ? integer_ring(shapes, bytes, least)
                                                   : plain_ring(shapes, bytes, least);
  if (ring.n_slots == 0) return ring;
  const bool is_large = bytes_of_layer(shapes, n_blocks) > kRingsOfLargeLayer * ring.bytes();
  if (is_large && kind == TokenKind::integers) ring.n_feeders = kFeedersOfLarge;
  for (TokenShape& s : shapes) {
    const int bytes_at_once = is_large                          ? kBytesOfLarge
                              : s.output == TokenOutput::logits ? kBytesOfHead
                                                                : kBytesOfSmall;
    s.window = window_of(bytes_at_once, ring, s);
  }
  return ring;
}

}  // namespace haikuda::cuda
