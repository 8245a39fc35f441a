// How the kernel that decodes a token cuts rows into slots: what copies put there and where readers
// look for it, by arithmetic alone. Needs no GPU.
#include "cuda/token_slots.h"

#include <algorithm>
#include <vector>

#include "cuda/layout.h"
#include "support/catch.h"

namespace haikuda::test {
namespace {

using namespace cuda;

constexpr int kBlocks = 132;
constexpr std::size_t kRoom = 150'000, kLeastSlot = 8704;  // of the 7B, for the ring; tiles of keys

// Where a unit of a row begins in one of its planes, and how many bytes it has there.
struct UnitBytes {
  int start, n;
};
UnitBytes unit_bytes(DType dtype, int plane, int unit) {
  if (!is_repacked(dtype)) return {2 * kTokenUnit * unit, plane == 0 ? 2 * kTokenUnit : 0};
  const int of_block = block_plane_bytes(dtype)[static_cast<std::size_t>(plane)];
  const int units = dtype_info(dtype).block_elems / kTokenUnit;
  // Scales that a block has as a whole are read by each of its units.
  const bool is_of_block =
      plane == 3 || (plane == 1 && (dtype == DType::Q4_K || dtype == DType::Q5_K));
  if (is_of_block) return {unit / units * of_block, of_block};
  return {of_block * unit / units, of_block / units};
}

// A model's products, in one type: q, k and v, output, gates and ups, down, the head.
std::vector<TokenShape> shapes_of(DType dtype, int n_embd, int n_ff, int n_kv) {
  const auto matrix = [dtype](int rows, int cols) { return DeviceTensor{dtype, rows, cols, {}}; };
  const BlockRange all{0, kBlocks};
  const DeviceTensor qkv[] = {matrix(n_embd, n_embd), matrix(n_kv, n_embd), matrix(n_kv, n_embd)};
  const DeviceTensor output[] = {matrix(n_embd, n_embd)}, down[] = {matrix(n_embd, n_ff)};
  const DeviceTensor gate_up[] = {matrix(n_ff, n_embd), matrix(n_ff, n_embd)};
  const DeviceTensor head[] = {matrix(32'000, n_embd)};
  std::vector<TokenShape> out = {
      token_shape(TokenOutput::vector, qkv, all), token_shape(TokenOutput::vector, output, all),
      token_shape(TokenOutput::gate_up, gate_up, all), token_shape(TokenOutput::vector, down, all),
      token_shape(TokenOutput::logits, head, all)};
  const TokenStepOfLayer steps[] = {kTokenQkv, kTokenOutput, kTokenGateUp, kTokenDown, kTokenSteps};
  for (std::size_t i = 0; i < out.size(); ++i) out[i].step = steps[i];
  return out;
}

// Which copy of a span holds byte `at` of a row, as its place in the slot's first row; -1: none.
int place_of(const TokenShape& shape, int span, int at) {
  for (int c = 0; c < shape.n_copies; ++c) {
    const TokenCopy& copy = shape.copies[c];
    const int start = span * copy.span_bytes / 16 * 16;
    const int n = std::min(copy.copy_bytes, copy.row_bytes - start);
    if (at >= copy.start + start && at < copy.start + start + n)
      return copy.to + (at - copy.start - start);
  }
  return -1;
}

void check_copies(const TokenShape& shape, const TokenRingSize& ring) {
  for (int span = 0; span < shape.n_spans; ++span)
    for (int c = 0; c < shape.n_copies; ++c) {
      const TokenCopy& copy = shape.copies[c];
      CAPTURE(span, c);
      const int start = span * copy.span_bytes / 16 * 16;
      const int n = std::min(copy.copy_bytes, copy.row_bytes - start);
      REQUIRE(n > 0);
      CHECK((copy.start + start) % 16 == 0);
      CHECK((n % 16 == 0 && copy.to % 16 == 0 && copy.stride % 16 == 0));
      CHECK(copy.start + start + n <= shape.row_stride);
      CHECK(n <= copy.stride);
      CHECK(copy.to + (kTokenTileRows - 1) * copy.stride + n <= ring.slot_bytes);
    }
}

// Each unit of each span is where readers look for it: token_integers.cuh, token_products.cuh.
void check_units(const TokenShape& shape, DType dtype) {
  const int n_units = shape.cols / kTokenUnit;
  CHECK((shape.n_spans - 1) * shape.span_units + shape.last_units == n_units);
  CHECK((shape.last_units > 0 && shape.last_units <= shape.span_units));
  const MatrixPlanes planes = planes_of({dtype, 1, shape.cols, {}});
  int start = 0;
  for (int p = 0; p < kMaxPlanes && planes.row_bytes[p] != 0; ++p) {
    for (int unit = 0; unit < n_units; ++unit) {
      CAPTURE(p, unit);
      const int span = unit / shape.span_units;
      const UnitBytes here = unit_bytes(dtype, p, unit),
                      first = unit_bytes(dtype, p, span * shape.span_units);
      if (here.n == 0) continue;
      const int misaligned = shape.n_spans == 1 ? 0 : first.start % 16;
      const int want = shape.planes[p].start + misaligned + here.start - first.start;
      REQUIRE(place_of(shape, span, start + here.start) == want);
      REQUIRE(place_of(shape, span, start + here.start + here.n - 1) == want + here.n - 1);
    }
    start += static_cast<int>(planes.row_bytes[p]);
  }
}

}  // namespace

TEST_CASE("token slots: every unit is copied to where it is read", "[token_slots]") {
  const DType dtype = GENERATE(DType::F16, DType::BF16, DType::Q4_0, DType::Q4_1, DType::Q5_0,
                               DType::Q5_1, DType::Q8_0, DType::Q4_K, DType::Q5_K, DType::Q6_K);
  struct Size {
    int n_embd, n_ff, n_kv;
  };
  const auto size =
      GENERATE(Size{128, 128, 64}, Size{576, 1536, 192}, Size{896, 4864, 128},
               Size{1024, 2816, 1024}, Size{2048, 11'008, 256}, Size{3584, 18'944, 512});
  if (size.n_embd % dtype_info(dtype).block_elems != 0 ||
      size.n_ff % dtype_info(dtype).block_elems != 0)
    return;
  CAPTURE(dtype_name(dtype), size.n_embd, size.n_ff);
  std::vector<TokenShape> shapes = shapes_of(dtype, size.n_embd, size.n_ff, size.n_kv);
  const TokenRingSize ring = cut_into_slots(shapes, token_kind(dtype), kRoom, kLeastSlot, kBlocks);
  REQUIRE(ring.n_slots >= 8);
  CHECK((ring.n_slots % kTokenGroups == 0 && ring.n_slots % ring.n_feeders == 0));
  CHECK(ring.bytes() <= aligned(kRoom, 128));
  for (const TokenShape& shape : shapes) {
    CAPTURE(static_cast<int>(shape.step), shape.n_spans);
    CHECK((shape.window >= ring.n_feeders && shape.window <= ring.n_slots));
    CHECK(shape.window % ring.n_feeders == 0);
    CHECK(shape.pairs_of_block * kBlocks + shape.n_longer * shape.unit == pairs_of(shape.n_rows));
    check_copies(shape, ring);
    check_units(shape, dtype);
  }
}

// 4608 rows of q, k and v are five tiles for most of 132 blocks, 3584 of output four.
TEST_CASE("token slots: whole rows are cut in two where shares become more even", "[token_slots]") {
  std::vector<TokenShape> shapes = shapes_of(DType::Q4_K, 3584, 18'944, 512);
  const TokenRingSize ring =
      cut_into_slots(shapes, TokenKind::integers, kRoom, kLeastSlot, kBlocks);
  CHECK(ring.n_feeders == kTokenFeeders);
  CHECK(shapes[0].n_spans == 2);
  CHECK(shapes[1].n_spans == 1);
  CHECK(shapes[2].n_spans == 1);
}

}  // namespace haikuda::test
